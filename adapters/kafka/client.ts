/** How this process reaches Kafka: addresses, TLS, SASL and the logger, in one place for everything that connects. */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Kafka, type KafkaConfig, logLevel, type SASLOptions } from 'kafkajs'
import { patchKafkajs } from './kafkajs-patches.ts'

export interface KafkaOptions {
  /** host:port of some of the brokers; the others are learned from these. */
  readonly brokers: readonly string[]
  readonly clientId: string
  /** PEM; true trusts what Node trusts. */
  readonly tls?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string }
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  /** Of topics that ensureTopics creates; the cluster's default if absent. */
  readonly replicationFactor?: number
  /** A member that is not heard of for so long has lost its partitions. Default 10 000. */
  readonly sessionTimeoutMs?: number
  /** Default a twentieth of the session timeout: so late, at most, a member learns of a rebalance. */
  readonly heartbeatMs?: number
  /** How long produce and commit go on trying while Kafka is away. Default 15 000. */
  readonly deliveryTimeoutMs?: number
  /** What goes wrong where no caller waits. */
  readonly onError?: (error: unknown) => void
  readonly logger?: KafkaLogger
}

/** The part of a pino logger that is used. */
export interface KafkaLogger {
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
  debug(fields: object, message: string): void
}

const CONNECTION_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 15_000

/** A kafkajs client, for what needs its public API: topics' configuration, benchmarks. */
export function kafkaClient(options: KafkaOptions): Kafka {
  patchKafkajs()
  return new Kafka(clientConfig(options))
}

/** What a client, and each of our own connections, is made with. */
export function clientConfig(options: KafkaOptions): KafkaConfig {
  return {
    brokers: [...options.brokers],
    clientId: options.clientId,
    ssl: tlsOptions(options.tls),
    ...(options.sasl === undefined ? {} : { sasl: options.sasl as SASLOptions }),
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: 2 * CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    socketFactory,
    logLevel: logLevel.WARN,
    logCreator: () => logTo(options.logger),
  }
}

function tlsOptions(tls: KafkaOptions['tls']): boolean | object {
  return typeof tls === 'object' ? { ...tls } : (tls ?? false)
}

/** Small requests leave at once (no Nagle), and a socket alone keeps no process alive while it connects. */
function socketFactory(target: { host: string; port: number; ssl: object; onConnect: () => void }): Socket {
  const { host, port, ssl, onConnect } = target
  const socket = ssl
    ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
    : connectTcp({ host, port }, onConnect)
  return socket.setKeepAlive(true, 30_000).setNoDelay(true)
}

/**
 * kafkajs logs as an error what its caller hears as an error anyway, and tries again: nothing of that asks for a person.
 * Its fields may hold whole requests, so only their message is passed on.
 */
function logTo(logger: KafkaLogger | undefined) {
  return (entry: { namespace: string; log: { message: string; broker?: string; error?: unknown } }) => {
    const { message, broker, error } = entry.log
    const cause = typeof error === 'string' ? error : undefined
    logger?.debug({ library: `kafkajs ${entry.namespace}`, broker, cause }, message)
  }
}
