/**
 * The parts of kafkajs that this adapter stands on: its connections (TLS, SASL, time limits) and its encodings of requests.
 *
 * Its own consumer and producer are not used. The consumer makes every partition wait for the slowest of a fetch, stops in
 * silence around rebalances (kafkajs#558, #659, #1441) and goes on after stop (#1593); the producer looks its coordinators
 * up before every step and leaves #430 unhandled. These are modules without a promise of their own, so one version is
 * taken, and any other is refused with a clear error rather than used on trust.
 */
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { SetupError } from '../../ports/errors.ts'

const load = createRequire(import.meta.url)
const KAFKAJS_VERSION = '2.2.4'

export interface ApiRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
}

interface ResponseCodec<Response> {
  decode(payload: Buffer): Promise<unknown>
  // biome-ignore lint/suspicious/noExplicitAny: what decode gave, known to the two alone
  parse(decoded: any): Promise<Response>
}

export interface ProtocolRequest<Response> {
  readonly request: ApiRequest
  readonly response: ResponseCodec<Response>
  readonly requestTimeout?: number
  readonly logResponseError?: boolean
}

export interface Connection {
  readonly socket?: Socket
  readonly requestQueue: { destroy(): void }
  connectionStatus: 'connected' | 'disconnecting' | 'disconnected'
  authenticatedAt: unknown
  rejectRequests(error: Error): void
}

export interface ConnectionPool {
  readonly pool: readonly Connection[]
  send<Response>(request: ProtocolRequest<Response>): Promise<Response>
}

export interface ConnectionPoolClass {
  prototype: { getConnection(this: ConnectionPool, index?: number): Promise<Connection> }
}

export interface RequestQueueClass {
  prototype: {
    pending: readonly unknown[]
    requestTimeout: number
    scheduleCheckPendingRequests(this: { pending: readonly unknown[] }): void
  }
}

export type ApiVersions = Readonly<Record<number, { minVersion: number; maxVersion: number }>>

/** kafkajs's class for one node and its two connections: the second carries fetches, the first everything else. */
export interface KafkaJsBroker {
  readonly connectionPool: ConnectionPool
  readonly versions: ApiVersions | null
  isConnected(): boolean
  connect(): Promise<void>
}

export interface Internals {
  readonly Broker: new (options: object) => KafkaJsBroker
  readonly ConnectionPool: ConnectionPoolClass & (new (options: object) => ConnectionPool)
  readonly RequestQueue: RequestQueueClass
  readonly apiKeys: Readonly<Record<string, number>>
  readonly requests: Readonly<Record<string, object>>
  readonly lookup: (versions: ApiVersions) => (apiKey: number, definition: object) => (options: object) => unknown
  readonly createErrorFromCode: (code: number) => Error & { readonly type: string }
  readonly createLogger: (options: { level: number; logCreator: unknown }) => object
  readonly crc32C: (bytes: Uint8Array) => number
}

let loaded: Internals | undefined

/** @throws SetupError 'kafkajs-version' when another version is installed. */
export function kafkajsInternals(): Internals {
  loaded ??= loadInternals()
  return loaded
}

function loadInternals(): Internals {
  const { version } = load('kafkajs/package.json') as { version: string }
  if (version !== KAFKAJS_VERSION) {
    throw new SetupError('kafkajs-version', `This works with kafkajs ${KAFKAJS_VERSION}; ${version} is installed`)
  }
  const { requests, lookup } = load('kafkajs/src/protocol/requests')
  return {
    Broker: load('kafkajs/src/broker'),
    ConnectionPool: load('kafkajs/src/network/connectionPool'),
    RequestQueue: load('kafkajs/src/network/requestQueue'),
    apiKeys: load('kafkajs/src/protocol/requests/apiKeys'),
    requests,
    lookup,
    createErrorFromCode: load('kafkajs/src/protocol/error').createErrorFromCode,
    createLogger: load('kafkajs/src/loggers').createLogger,
    crc32C: load('kafkajs/src/protocol/recordBatch/crc32C'),
  }
}
