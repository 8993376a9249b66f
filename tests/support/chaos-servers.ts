/**
 * The servers of one run: its own where it hurts them, else those that all tests share.
 *
 * With `proxied`, Kafka and Redis are reached through proxies: Kafka advertises its proxy, so every connection of every
 * client passes it.
 */
import { freePort } from '../../services/ports.ts'
import type { RunningService } from '../../services/service.ts'
import { type ServiceName, startServices } from '../../services/start-services.ts'
import { testServices } from './services.ts'
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
  /** Of the run's own servers; asking for another throws. */
  server(name: ServiceName): RunningService
  readonly proxies: { readonly kafka: TcpProxy; readonly redis: TcpProxy } | undefined
  stop(): Promise<void>
}

export async function startChaosServers(
  { own, proxied = false }: ServerNeeds,
  progress: (line: string) => void,
): Promise<ChaosServers> {
  const closers: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  try {
    const ports = { kafka: await freePort(), redis: await freePort() }
    const proxies = proxied ? await openProxies(ports, closers) : undefined
    const ours =
      own.length === 0
        ? undefined
        : await startServices({
            want: own,
            rungs: ['docker', 'local'],
            ports,
            ...(proxies && {
              kafkaSettings: { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxies.kafka.port}` },
            }),
            progress,
          })
    if (ours !== undefined) closers.push(() => ours.stop())
    const shared = own.length < 3 ? await testServices() : undefined
    const of = (name: ServiceName) => (own.includes(name) ? ours! : shared!)
    return {
      rung: [...new Set([ours?.rung, shared?.rung].filter((rung) => rung !== undefined))].join(' + '),
      env: {
        KAFKA_BROKERS: proxies ? `127.0.0.1:${proxies.kafka.port}` : of('kafka').kafkaBrokers.join(','),
        SCHEMA_REGISTRY_URL: of('registry').schemaRegistryUrl,
        REDIS_URL: proxies ? `redis://127.0.0.1:${proxies.redis.port}` : of('redis').redisUrl,
      },
      server(name) {
        if (!own.includes(name)) throw new Error(`${name} is not this run's own`)
        return ours![name]
      },
      proxies,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openProxies(ports: { kafka: number; redis: number }, closers: (() => Promise<void>)[]) {
  const kafka = await tcpProxy({ host: '127.0.0.1', port: ports.kafka })
  closers.push(() => kafka.close())
  const redis = await tcpProxy({ host: '127.0.0.1', port: ports.redis })
  closers.push(() => redis.close())
  return { kafka, redis }
}
