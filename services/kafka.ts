/** One Kafka node, broker and controller (KRaft), on this machine. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { artefacts, type KafkaVersion } from './artefacts.ts'
import type { Cache } from './cache.ts'
import { archiveFlag, classArchive, jvmFlags } from './class-archive.ts'
import type { Java } from './java.ts'
import { installKafka } from './maven.ts'
import { freePort } from './ports.ts'
import { processService } from './process-service.ts'
import type { OwnService } from './service.ts'
import { runTool } from './tools.ts'

interface KafkaOptions {
  readonly version: KafkaVersion
  readonly folder: string
  readonly port: number
  /** Over those below, by Kafka's names. */
  readonly settings: Readonly<Record<string, string>>
  readonly steady: boolean
}

/** By Kafka's names, for every rung. Replication as one node allows; nothing that hides how Kafka behaves elsewhere. */
export function kafkaSettings(
  { version, settings }: Pick<KafkaOptions, 'version' | 'settings'>,
  at: { listen: string; port: number; controllerPort: number; advertisedPort: number; dataFolder: string },
): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${at.controllerPort}`,
    listeners: `PLAINTEXT://${at.listen}:${at.port},CONTROLLER://127.0.0.1:${at.controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${at.advertisedPort}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': at.dataFolder,
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    ...(version.startsWith('3.')
      ? {}
      : { 'share.coordinator.state.topic.replication.factor': '1', 'share.coordinator.state.topic.min.isr': '1' }),
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    ...settings,
  }
}

export const propertiesText = (settings: Readonly<Record<string, string>>) =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')

/** 16 bytes in base64url. One name for all: a folder or volume that is kept stays the same cluster. */
export const KAFKA_CLUSTER_ID = Buffer.from('cuestream-kafka1').toString('base64url')

/** Printed when clients are served. */
export const KAFKA_READY = 'Kafka Server started'

export const kafkaEntry = (version: KafkaVersion) => `kafka-${version}`

/** Downloaded, formatted, not started. */
export async function localKafka(
  options: KafkaOptions,
  { cache, java, say }: { cache: Cache; java: Java; say: (line: string) => void },
): Promise<OwnService> {
  const { version } = options
  const jars = await cache.entry(kafkaEntry(version), async (partial) => {
    say(`Downloading Kafka ${version} (${Math.round(artefacts.kafka[version].bytes / 1e6)} MB, once) …`)
    await installKafka(version, partial, java)
  })
  const libs = join(jars, 'libs')
  const archive = await classArchive(kafkaEntry(version), { cache, java, say }, async (folder, flag) => {
    const trial = await broker(
      { version, folder, port: await freePort(), settings: {}, steady: false },
      java,
      libs,
      flag,
    )
    await trial.start()
    return trial
  })
  return broker(options, java, libs, archiveFlag(archive))
}

async function broker(options: KafkaOptions, java: Java, libs: string, flag: string): Promise<OwnService> {
  const { folder, port } = options
  const properties = join(folder, 'server.properties')
  const dataFolder = join(folder, 'data')
  mkdirSync(folder, { recursive: true })
  const at = { listen: '127.0.0.1', port, advertisedPort: port, controllerPort: await freePort(), dataFolder }
  writeFileSync(properties, propertiesText(kafkaSettings(options, at)))

  const jvm = [
    ...jvmFlags(folder, options.steady),
    flag,
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
    '-cp',
    join(libs, '*'),
  ]
  if (!existsSync(join(dataFolder, 'meta.properties'))) {
    const format = ['kafka.tools.StorageTool', 'format', '-t', KAFKA_CLUSTER_ID, '-c', properties]
    await runTool('Formatting the folder of Kafka', java.command, [...jvm.filter((arg) => arg !== flag), ...format])
  }
  return processService({
    name: 'kafka',
    port,
    folder,
    command: java.command,
    args: ['-Xms64m', '-Xmx512m', ...jvm, 'kafka.Kafka', properties],
    ready: async (log) => log.includes(KAFKA_READY),
  })
}
