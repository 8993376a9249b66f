/** /v1/releases: what there is, what is in use, and putting another release to use while requests are answered. */
import { z } from 'zod'
import type { App, GatewayDeps } from '../deps.ts'
import type { ReleasesView } from '../releases.ts'
import { problems } from '../responses.ts'

const share = z.number().gt(0).lt(1)
const failureSchema = z.object({ code: z.string(), message: z.string() })

const releasesSchema = z
  .object({
    serving: z.string().describe('The release that answers.'),
    previous: z.string().nullable().describe('What served before: a roll-back goes to it.'),
    trial: z.object({ release: z.string(), share }).nullable().describe('What answers a share of the requests.'),
    rollOut: z
      .object({
        release: z.string(),
        state: z.enum(['running', 'done', 'failed', 'cancelled']),
        phase: z.enum(['checking', 'embedding', 'comparing']).nullable().describe('Of one that runs.'),
        trialShare: share.nullable(),
        doneRecords: z.int().describe('Features that were embedded.'),
        totalRecords: z.int().describe('Grows with what is analysed meanwhile.'),
        failure: failureSchema.nullable(),
      })
      .nullable()
      .describe('The one that runs, or else the latest.'),
    releases: z.array(
      z.object({
        release: z.string(),
        model: z.string(),
        dims: z.int(),
        roles: z.array(z.enum(['serving', 'previous', 'trial', 'preparing'])),
        metrics: z.record(z.string(), z.number()).describe('As measured when it was made.'),
        parent: z.string().nullable(),
        createdAt: z.string(),
      }),
    ),
    unreadable: z.array(failureSchema.extend({ release: z.string() })).describe('Bundles that cannot be used.'),
  })
  .meta({ id: 'Releases' })

const params = z.object({ release: z.string().min(1).max(64) })

export function releaseRoutes(app: App, { rollOuts }: GatewayDeps): void {
  if (rollOuts === undefined) return

  app.get(
    '/v1/releases',
    { schema: { summary: 'Releases, which are in use, and how a roll-out stands', response: answers(200) } },
    async () => present(await rollOuts.view()),
  )

  app.post(
    '/v1/releases/:release/roll-out',
    {
      schema: {
        summary: 'Embed everything by a release, beside the one that serves, and switch to it once it is whole',
        params,
        body: z
          .strictObject({ trialShare: share.optional().describe('Answer this share of the requests instead.') })
          .nullish(),
        response: { ...answers(202), ...problems(400, 404, 409, 413, 415, 422) },
      },
    },
    async ({ params: { release }, body }, reply) =>
      reply.code(202).send(present(await rollOuts.rollOut(release, body?.trialShare))),
  )

  app.delete(
    '/v1/releases/roll-out',
    { schema: { summary: 'Cancel the roll-out that runs', response: { ...answers(200), ...problems(404) } } },
    async () => present(await rollOuts.cancel()),
  )

  app.post(
    '/v1/releases/roll-back',
    {
      schema: {
        summary: 'Let the release that served before serve again, at once',
        response: { ...answers(200), ...problems(409) },
      },
    },
    async () => present(await rollOuts.rollBack()),
  )

  app.delete(
    '/v1/releases/trial',
    { schema: { summary: 'End the trial', response: { ...answers(200), ...problems(404) } } },
    async () => present(await rollOuts.endTrial()),
  )

  app.delete(
    '/v1/releases/:release',
    {
      schema: {
        summary: 'Remove the bundle of a release that is not in use',
        params,
        response: { ...answers(200), ...problems(400, 404, 409) },
      },
    },
    async ({ params: { release } }) => present(await rollOuts.remove(release)),
  )
}

function answers<const Status extends number>(status: Status) {
  return { [status]: releasesSchema, ...problems(503) } as Record<Status, typeof releasesSchema> &
    ReturnType<typeof problems<503>>
}

function present({ rollOut, releases, unreadable, ...plan }: ReleasesView): z.infer<typeof releasesSchema> {
  return {
    ...plan,
    rollOut:
      rollOut === undefined
        ? null
        : {
            ...rollOut,
            phase: rollOut.phase ?? null,
            trialShare: rollOut.trialShare ?? null,
            failure: rollOut.failure ?? null,
          },
    releases: releases.map(({ roles, metrics, ...release }) => ({
      ...release,
      roles: [...roles],
      metrics: { ...metrics },
    })),
    unreadable: [...unreadable],
  }
}
