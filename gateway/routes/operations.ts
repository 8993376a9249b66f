/** For operators and the page: health, readiness, metrics, and how far the pipeline is. */
import { z } from 'zod'
import type { App, GatewayDeps } from '../deps.ts'

const checksSchema = z.object({ ready: z.boolean(), checks: z.record(z.string(), z.string()) })

const pipelineSchema = z
  .object({
    release: z.string().nullable().describe('The release that answers now.'),
    taxonomy: z.string(),
    counts: z.object({ tracks: z.int(), videos: z.int(), uploads: z.int(), failed: z.int() }),
    stages: z.array(
      z.object({
        name: z.string(),
        release: z.string().nullable().describe('Of a stage that runs once for each release in use.'),
        state: z.string(),
        lagRecords: z.int().describe('Records that wait for this stage.'),
        inFlight: z.int(),
        stalled: z.boolean(),
      }),
    ),
    limits: z.object({ uploadBytes: z.int() }),
  })
  .meta({ id: 'Pipeline' })

export function operationRoutes(app: App, deps: GatewayDeps): void {
  const { catalogue, config, registry, readiness, stages } = deps

  app.get(
    '/v1/pipeline',
    { schema: { summary: 'Counts, stages and their lag', response: { 200: pipelineSchema } } },
    async () => {
      const [plan, counts, health] = await Promise.all([catalogue.releasePlan(), catalogue.counts(), stages?.() ?? []])
      return {
        release: plan?.serving ?? null,
        taxonomy: config.taxonomy,
        counts,
        stages: health.map(({ name, release, state, lagRecords, inFlight, stalled }) => ({
          name,
          release: release ?? null,
          state,
          lagRecords,
          inFlight,
          stalled,
        })),
        limits: { uploadBytes: config.maxUploadBytes },
      }
    },
  )

  app.get(
    '/healthz',
    { schema: { summary: 'The process answers', response: { 200: z.object({ status: z.literal('ok') }) } } },
    async () => ({ status: 'ok' as const }),
  )

  app.get(
    '/readyz',
    { schema: { summary: 'It can do its work', response: { 200: checksSchema, 503: checksSchema } } },
    async (_request, reply) => {
      const state = await readiness()
      return reply.code(state.ready ? 200 : 503).send(state)
    },
  )

  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
    const text = await registry.metrics()
    return reply.type(registry.contentType).send(text)
  })
}
