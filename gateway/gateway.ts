/**
 * The HTTP gateway: uploads in, recommendations out, the page, and what operators look at.
 *
 *     HTTP ──▶ gateway ──▶ uploads.received.v1, uploads.removed.v1, feedback.recorded.v1
 *              gateway ──▶ recommendations.requested.v1 ──▶ … ──▶ recommendations.answered.v1 ──▶ gateway ──▶ HTTP
 *
 * It keeps no state of its own beyond requests in flight. Every route has a schema; /openapi.json is made of them.
 */
import { fileURLToPath } from 'node:url'
import fastifyMultipart from '@fastify/multipart'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { Histogram, type Registry } from 'prom-client'
import type { App, GatewayDeps } from './deps.ts'
import { addGuards, identify } from './guards.ts'
import { addOpenApi } from './openapi.ts'
import { handleError, handleNotFound, sendProblem } from './problem.ts'
import { openRecommendationClient } from './request-reply.ts'
import { catalogueRoutes } from './routes/catalogue.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { operationRoutes } from './routes/operations.ts'
import { rebuildRoutes } from './routes/rebuild.ts'
import { recommendationRoutes } from './routes/recommendations.ts'
import { releaseRoutes } from './routes/releases.ts'
import { trainingRoutes } from './routes/training.ts'
import { uploadRoutes } from './routes/uploads.ts'

const WEB_FOLDER = fileURLToPath(new URL('../web/', import.meta.url))
/** A JSON body is small; media come as streams with their own limit. */
const BODY_LIMIT_BYTES = 256 * 1024
/** A whole request, with its upload, must have arrived by then. */
const REQUEST_TIMEOUT_MS = 30 * 60_000
/** Silence on a connection. Above the longest deadline. */
const IDLE_TIMEOUT_MS = 60_000
/** Above the longest id or position in a path, so that the route's schema is what refuses. */
const MAX_PARAM_LENGTH = 512
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/

/** @returns a Fastify instance that is ready to listen, or to be injected; closing it lets requests in flight finish. */
export async function buildGateway(deps: GatewayDeps): Promise<App> {
  const { config, registry, newId } = deps
  const app: App = Fastify({
    loggerInstance: deps.logger,
    logController: new LogController({ disableRequestLogging: true }), // guards.ts logs requests, at debug
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: IDLE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors(_error, request, reply) {
      // The router's own refusals pass no hook.
      identify(request, reply)
      const detail = 'The path cannot be read: it is not valid percent-encoded UTF-8, or a part of it is too long'
      return sendProblem(reply, { status: 400, code: 'invalid-request', detail })
    },
    genReqId({ headers }) {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId()
    },
  }).withTypeProvider<ZodTypeProvider>()

  app.removeContentTypeParser('text/plain') // a body is JSON or a form, so that none gets past its schema
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  const { bindHost, allowedHosts, lingerMs = 5_000 } = config
  addGuards(app as unknown as FastifyInstance, { bindHost, allowedHosts, lingerMs })
  observeRequests(app, registry)

  await addOpenApi(app as unknown as FastifyInstance)
  await app.register(fastifyMultipart, {
    throwFileSizeLimit: false, // the route counts, and refuses one byte earlier than this, and any second file
    limits: { fileSize: config.maxUploadBytes + 1, files: 2, fields: 20, fieldSize: 8 * 1024, fieldNameSize: 100 },
  })
  await app.register(fastifyStatic, { root: WEB_FOLDER, prefix: '/assets/', index: false })

  const client = await openRecommendationClient({
    ...deps,
    replyPartition: config.replyPartition ?? 0,
    maxInFlight: config.maxInFlight,
  })
  app.addHook('onClose', () => client.close()) // after the requests in flight have had their answers
  drainOnClose(app, config.drainMs ?? 5_000)

  uploadRoutes(app, deps)
  catalogueRoutes(app, deps)
  recommendationRoutes(app, deps, client)
  operationRoutes(app, deps)
  deadLetterRoutes(app, deps)
  rebuildRoutes(app, deps)
  trainingRoutes(app, deps)
  releaseRoutes(app, deps)
  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.sendFile('index.html'))
  await app.ready()
  return app
}

/** A paused player holds its connection open without end; closing does not wait for it. */
function drainOnClose(app: App, drainMs: number): void {
  let timer: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => {
    timer = setTimeout(() => app.server.closeAllConnections(), drainMs)
  })
  app.addHook('onClose', async () => clearTimeout(timer))
}

function observeRequests(app: App, registry: Registry): void {
  const seconds = new Histogram({
    name: 'cuestream_http_request_seconds',
    help: 'HTTP requests by route and status.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30],
    registers: [registry],
  })
  app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
    const labels = { method, route: routeOptions.url ?? 'none', status: String(reply.statusCode) }
    seconds.observe(labels, reply.elapsedTime / 1000)
  })
}
