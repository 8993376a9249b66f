/** Bodies as OpenAI's API has them, of which only what is honoured is accepted: nothing is ignored silently. */
import { z } from 'zod'

const MOST_TEXT = 256 * 1024
const MOST_MESSAGES = 256
const MOST_STOPS = 16
const LONGEST_STOP = 256

const stopString = z.string().min(1).max(LONGEST_STOP)
const shared = {
  model: z.string().max(256).nullish().describe('Any: the one that is loaded answers.'),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z
    .union([stopString, z.array(stopString).max(MOST_STOPS)], {
      error: `must be a string or at most ${MOST_STOPS} of them, each of 1 to ${LONGEST_STOP} characters`,
    })
    .nullish(),
  n: z.literal(1, { error: 'one answer is given: leave it out or send 1' }).nullish(),
  stream: z.literal(false, { error: 'answers are not streamed: leave it out or send false' }).nullish(),
  user: z.string().nullish(),
  frequency_penalty: z.literal(0, { error: 'is not supported: leave it out or send 0' }).nullish(),
  presence_penalty: z.literal(0, { error: 'is not supported: leave it out or send 0' }).nullish(),
}

const content = z.union(
  [z.string().max(MOST_TEXT), z.array(z.strictObject({ type: z.literal('text'), text: z.string().max(MOST_TEXT) }))],
  { error: `must be text of at most ${MOST_TEXT} characters, or parts of type text` },
)

export const chatBody = z.strictObject({
  ...shared,
  messages: z
    .array(
      z.strictObject({
        role: z.enum(['system', 'developer', 'user', 'assistant']),
        content: content.transform((given) =>
          typeof given === 'string' ? given : given.map(({ text }) => text).join(''),
        ),
        name: z.string().nullish(),
      }),
    )
    .min(1)
    .max(MOST_MESSAGES),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.literal(false, { error: 'is not supported: leave it out or send false' }).nullish(),
})

const prompt = z.string().min(1).max(MOST_TEXT)

export const completionBody = z.strictObject({
  ...shared,
  prompt: z
    .union([prompt, z.array(prompt).min(1)], {
      error: `must be text of 1 to ${MOST_TEXT} characters, or an array of such texts`,
    })
    .transform((given) => (typeof given === 'string' ? [given] : given)),
  best_of: z.literal(1, { error: 'is not supported: leave it out or send 1' }).nullish(),
  echo: z.literal(false, { error: 'is not supported: leave it out or send false' }).nullish(),
  logprobs: z.null({ error: 'is not supported: leave it out' }).optional(),
})

export type SharedBody = Pick<z.infer<typeof completionBody>, 'temperature' | 'top_p' | 'seed' | 'stop'>
