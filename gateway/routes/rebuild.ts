/** /v1/index/rebuild: the index anew from its topics, beside the one that serves. */
import { z } from 'zod'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { App, GatewayDeps } from '../deps.ts'
import type { RebuildView } from '../rebuilds.ts'
import { problems } from '../responses.ts'

const rebuildSchema = z
  .object({
    state: z.enum(['running', 'done', 'failed', 'stopped']),
    phase: z.enum(['replaying', 'comparing']).describe('Comparing: rows are counted against the topics.'),
    doneRecords: z.int(),
    totalRecords: z.int().describe('Grows with what is produced meanwhile.'),
    report: z
      .object({
        generation: z.string(),
        indexes: z.array(
          z.object({
            kind: z.string(),
            release: z.string(),
            rows: z.int(),
            liveKeys: z.int().describe('Embeddings that stand on the topic.'),
          }),
        ),
        letters: z.int().describe('Records that are in the dead letters and have no row.'),
      })
      .nullable(),
    failure: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({ id: 'Rebuild' })

export function rebuildRoutes(app: App, { rebuilds }: GatewayDeps): void {
  if (rebuilds === undefined) return

  app.post(
    '/v1/index/rebuild',
    {
      schema: {
        summary: 'Rebuild the index from its topics; what serves goes on until the new one is whole',
        body: z.strictObject({
          from: z
            .array(z.string().max(300))
            .max(1_000)
            .default([])
            .describe('Where to begin: earliest, a time in ISO 8601, or topic/partition/offset, several of them.'),
        }),
        response: { 202: rebuildSchema, ...problems(400, 409, 413, 415) },
      },
    },
    async ({ body: { from } }, reply) => reply.code(202).send(present(await rebuilds.start(from))),
  )

  app.get(
    '/v1/index/rebuild',
    { schema: { summary: 'How the latest rebuild stands', response: { 200: rebuildSchema, ...problems(404) } } },
    async () => present(known(rebuilds.view())),
  )

  app.delete(
    '/v1/index/rebuild',
    { schema: { summary: 'Stop the rebuild that runs', response: { 200: rebuildSchema, ...problems(404) } } },
    async () => present(known(await rebuilds.stop())),
  )
}

function known(view: RebuildView | undefined): RebuildView {
  if (view !== undefined) return view
  throw new InvalidRequestError('no-rebuild', 'The index was not rebuilt since this process began', { status: 404 })
}

function present({ report, failure, ...view }: RebuildView): z.infer<typeof rebuildSchema> {
  return {
    ...view,
    report: report === undefined ? null : { ...report, indexes: [...report.indexes] },
    failure: failure ?? null,
  }
}
