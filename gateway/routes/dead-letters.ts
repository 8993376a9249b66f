/** /v1/dead-letters: what could not be processed, why, and trying again. */
import { z } from 'zod'
import type { Catalogue } from '../../ports/catalogue.ts'
import { deadLetters, type FiledLetter, findDeadLetter, redrive } from '../../runtime/dead-letter-desk.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { recommendationsRequested, topics } from '../../topics/topics.ts'
import type { App, GatewayDeps } from '../deps.ts'
import { problems } from '../responses.ts'

/** No more than this are listed, or redriven, at once. */
const MOST_LISTED = 1_000

const letterSchema = z
  .object({
    position: z.string().describe('topic/partition/offset, to show or redrive it by.'),
    key: z.string().nullable(),
    stage: z.string(),
    code: z.string(),
    message: z.string(),
    attempts: z.int(),
    at: z.number().describe('Unix epoch, ms.'),
    open: z.boolean().describe('False once the stage has done this upload after all, or the upload is gone.'),
  })
  .meta({ id: 'DeadLetter' })

const positionSchema = z
  .string()
  .max(300)
  .regex(/^[^/]+\/\d{1,6}\/\d{1,14}$/, 'is not topic/partition/offset')

export function deadLetterRoutes(app: App, { broker, codec, catalogue }: GatewayDeps): void {
  async function openLetters(all: boolean): Promise<(FiledLetter & { open: boolean })[]> {
    const letters: (FiledLetter & { open: boolean })[] = []
    for await (const letter of deadLetters(broker, topics)) {
      const open = await isOpen(letter, catalogue)
      if (open || all) letters.push({ ...letter, open })
      if (letters.length >= MOST_LISTED) break
    }
    return letters
  }

  app.get(
    '/v1/dead-letters',
    {
      schema: {
        summary: 'Dead letters that are still open, with their causes',
        querystring: z.strictObject({ all: z.stringbool().default(false).describe('Also those that are settled.') }),
        response: { 200: z.object({ items: z.array(letterSchema) }), ...problems(400) },
      },
    },
    async ({ query: { all } }) => ({ items: (await openLetters(all)).map(present) }),
  )

  app.get(
    '/v1/dead-letters/:position',
    {
      schema: {
        summary: 'One dead letter: cause, headers and value',
        params: z.object({ position: positionSchema }),
        response: {
          200: letterSchema.extend({
            topic: z.string(),
            headers: z.record(z.string(), z.string()),
            value: z.unknown().describe('Decoded, where it decodes; else base64 in `bytes`.'),
          }),
          ...problems(400, 404),
        },
      },
    },
    async ({ params: { position } }) => {
      const letter = await findDeadLetter(broker, topics, position)
      const topic = topics.find(({ name }) => name === letter.cause.topic)
      const bytes = letter.record.value
      const value =
        topic === undefined || bytes === null
          ? null
          : await codec.decode(topic, bytes).catch(() => ({ bytes: Buffer.from(bytes).toString('base64') }))
      const open = await isOpen(letter, catalogue)
      return { ...present({ ...letter, open }), topic: letter.cause.topic, headers: letter.record.headers, value }
    },
  )

  app.post(
    '/v1/dead-letters/redrive',
    {
      schema: {
        summary: 'Put dead letters back on their topics, for the stage that failed',
        body: z.union([
          z.strictObject({ positions: z.array(positionSchema).min(1).max(MOST_LISTED) }),
          z.strictObject({ all: z.literal(true).describe('Every open one.') }),
        ]),
        response: {
          202: z.object({
            redriven: z.int(),
            superseded: z.int().describe('Left alone: a newer record of the same key has come since.'),
            incomplete: z.int().describe('Left alone: the letter was too large for its topic and lacks the value.'),
          }),
          ...problems(400, 404, 413, 415),
        },
      },
    },
    async ({ body }, reply) => {
      const letters =
        'all' in body
          ? await openLetters(false)
          : await Promise.all(body.positions.map((position) => findDeadLetter(broker, topics, position)))
      return reply.code(202).send(await redrive(broker, topics, letters))
    },
  )
}

/**
 * A letter is settled when its upload no longer carries the failure that it tells of: the stage has done it since, has
 * failed again (the newer letter is open), or the upload is gone. A request is over with its deadline.
 */
async function isOpen({ record, cause }: FiledLetter, catalogue: Catalogue): Promise<boolean> {
  if (cause.topic === recommendationsRequested.name) return false
  if (record.key === null || !cause.topic.match(/^(uploads|music|video)\./)) return true
  const [id] = splitEmbeddingKey(record.key)
  const upload = await catalogue.upload(id)
  return upload?.failures.some(({ stage, at }) => stage === cause.stage && at === cause.at) ?? false
}

function present({ position, cause, record, open }: FiledLetter & { open: boolean }): z.infer<typeof letterSchema> {
  const { stage, code, message, attempts, at } = cause
  return { position, key: record.key, stage, code, message, attempts, at, open }
}
