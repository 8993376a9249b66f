/** What the composition root gives the gateway, and the type of server that its routes are added to. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Registry } from 'prom-client'
import type { Broker } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import type { MediaStore } from '../ports/media.ts'
import type { Codec } from '../runtime/codec.ts'
import type { StageHealth } from '../runtime/health.ts'
import type { Rebuilds } from './rebuilds.ts'
import type { RollOuts } from './releases.ts'
import type { TrainingSyncs } from './training.ts'
import type { Uploads } from './uploads.ts'

export interface GatewayConfig {
  /** The address that the caller will listen on; decides which Host headers are answered. */
  readonly bindHost: string
  readonly allowedHosts: readonly string[]
  /** Of a recommendation, unless the request says. */
  readonly deadlineMs: number
  /** Recommendations that wait at the same time, at most. */
  readonly maxInFlight: number
  readonly maxUploadBytes: number
  /** Partition of recommendations.answered.v1 that answers come back on. Default 0. */
  readonly replyPartition?: number
  /** Version of the tag vocabulary, told with each answer. */
  readonly taxonomy: string
  /** See GuardOptions. Default 5,000. */
  readonly lingerMs?: number
  /** How long answers in progress may go on when the gateway closes; then their connections are cut. Default 5,000. */
  readonly drainMs?: number
}

export interface GatewayDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly mediaStore: MediaStore
  readonly uploads: Uploads
  readonly config: GatewayConfig
  /** Unix epoch, ms. */
  readonly now: () => number
  readonly newId: () => string
  readonly logger: FastifyBaseLogger
  readonly registry: Registry
  readonly readiness: () => Promise<{ ready: boolean; checks: Record<string, string> }>
  /** The stages of this process, where it runs any. */
  readonly stages?: () => Promise<readonly StageHealth[]>
  /** Where this process has the index. */
  readonly rebuilds?: Rebuilds
  /** Where training data can be brought to this process's data folder. */
  readonly trainingSyncs?: TrainingSyncs
  /** Where this process has the model store. */
  readonly rollOuts?: RollOuts
}

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>
