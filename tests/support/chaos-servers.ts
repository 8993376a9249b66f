/**
 * The servers of one run: its own where it hurts them, else those of the environment or of the ladder.
 *
 * With `proxied`, Kafka and Redis are reached through proxies: Kafka advertises its proxy, so every connection of every
 * client passes it.
 */
import { freePort } from '../../services/ports.ts'
import type { RunningService } from '../../services/service.ts'
import { type ServiceName, type Services, startServices } from '../../services/start-services.ts'
import { type TcpProxy, tcpProxy } from './tcp-proxy.ts'

export interface ServerNeeds {
  /** Servers that the run stops, kills or wipes. */
  readonly own: readonly ServiceName[]
  readonly proxied?: boolean
}

export interface ChaosServers {
  readonly rung: string
  /** Addresses, as every process of the run takes them. */
  readonly env: Readonly<Record<string, string>>
  readonly kafka: RunningService
  readonly registry: RunningService
  readonly redis: RunningService
  /** Of Redis itself, past any proxy. */
  readonly redisUrl: string
  readonly proxies: { readonly kafka: TcpProxy; readonly redis: TcpProxy } | undefined
  stop(): Promise<void>
}

const ALL: readonly ServiceName[] = ['kafka', 'registry', 'redis']

export async function startChaosServers(
  { own, proxied = false }: ServerNeeds,
  progress: (line: string) => void,
): Promise<ChaosServers> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    for (const each of started.reverse()) await each.stop()
  }
  const keep = <T extends { stop(): Promise<void> }>(each: T): T => {
    started.push(each)
    return each
  }
  try {
    const kafkaPort = await freePort()
    const proxies = proxied ? await openProxies(kafkaPort, await freePort(), keep) : undefined
    const ours =
      own.length === 0
        ? undefined
        : keep(
            await startServices({
              want: own,
              rungs: ['docker', 'local'],
              ports: { kafka: kafkaPort, ...(proxies && { redis: proxies.redisPort }) },
              ...(proxies && {
                kafkaSettings: { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxies.kafka.port}` },
              }),
              progress,
            }),
          )
    const rest = ALL.filter((name) => !own.includes(name))
    const others = rest.length === 0 ? undefined : keep(await startServices({ want: rest, progress }))
    const of = (name: ServiceName): Services => (own.includes(name) ? ours! : others!)
    const redisUrl = of('redis').redisUrl
    return {
      rung: ours === undefined || others === undefined ? (ours ?? others)!.rung : `${ours.rung}, ${others.rung}`,
      env: {
        KAFKA_BROKERS: proxies ? `127.0.0.1:${proxies.kafka.port}` : of('kafka').kafkaBrokers.join(','),
        SCHEMA_REGISTRY_URL: of('registry').schemaRegistryUrl,
        REDIS_URL: proxies ? `redis://127.0.0.1:${proxies.redis.port}` : redisUrl,
      },
      kafka: of('kafka').kafka,
      registry: of('registry').registry,
      redis: of('redis').redis,
      redisUrl,
      proxies,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openProxies(kafkaPort: number, redisPort: number, keep: (each: { stop(): Promise<void> }) => unknown) {
  const kafka = await tcpProxy({ host: '127.0.0.1', port: kafkaPort })
  keep({ stop: () => kafka.close() })
  const redis = await tcpProxy({ host: '127.0.0.1', port: redisPort })
  keep({ stop: () => redis.close() })
  return { kafka, redis, redisPort }
}
