/** /v1/training: the training data of the topics, brought to the data folder by the process that owns both. */
import { z } from 'zod'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { App, GatewayDeps } from '../deps.ts'
import { problems } from '../responses.ts'
import type { TrainingSyncView } from '../training.ts'

const syncSchema = z
  .object({
    state: z.enum(['running', 'done', 'failed', 'stopped']),
    doneRecords: z.int(),
    totalRecords: z.int(),
    report: z
      .object({
        triplets: z.int().describe('Videos with a soundtrack that can be trained on.'),
        chosenPairs: z.int().describe('Videos with a track that users chose for them.'),
        added: z.int(),
        removed: z.int().describe('Of uploads that were taken down.'),
        unreadable: z.int().describe('Records that could not be decoded.'),
      })
      .nullable(),
    failure: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({ id: 'TrainingSync' })

export function trainingRoutes(app: App, { trainingSyncs }: GatewayDeps): void {
  if (trainingSyncs === undefined) return

  app.post(
    '/v1/training/sync',
    {
      schema: {
        summary: 'Bring the training data in the data folder up to date with the topics',
        response: { 202: syncSchema, ...problems(409) },
      },
    },
    async (_request, reply) => reply.code(202).send(present(trainingSyncs.start())),
  )

  app.get(
    '/v1/training',
    { schema: { summary: 'How the latest sync stands', response: { 200: syncSchema, ...problems(404) } } },
    async () => present(known(trainingSyncs.view())),
  )

  app.delete(
    '/v1/training/sync',
    {
      schema: {
        summary: 'Stop the sync that runs; the next one goes on from there',
        response: { 200: syncSchema, ...problems(404) },
      },
    },
    async () => present(known(await trainingSyncs.stop())),
  )
}

function known(view: TrainingSyncView | undefined): TrainingSyncView {
  if (view !== undefined) return view
  throw new InvalidRequestError('no-sync', 'The training data were not synced since this process began', {
    status: 404,
  })
}

function present({ report, failure, ...view }: TrainingSyncView): z.infer<typeof syncSchema> {
  return { ...view, report: report ?? null, failure: failure ?? null }
}
