/** What a training run is made of: a JSON file that validates, every bad key told at once. */
import { z } from 'zod'
import type { VimlConfig } from '../model/viml.ts'
import { SetupError } from '../ports/errors.ts'

const count = (least: number, most: number) => z.int().min(least).max(most)
const share = z.number().min(0).max(0.99)

const encoderSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('residual-mlp'), layers: count(0, 12), hidden: count(1, 16_384) }),
  z.strictObject({
    kind: z.literal('transformer'),
    layers: count(1, 12),
    hidden: count(1, 16_384),
    heads: count(1, 64),
    segments: count(1, 4_096).describe('Read of a sequence: a random window in training, the first elsewhere.'),
  }),
])

export const trainConfigSchema = z
  .strictObject({
    query: z.enum(['video+text', 'video', 'text']).default('video+text').describe('ViML, MVPt+ or MT.'),
    dims: count(1, 4_096).default(256).describe('D: width of the space.'),
    encoder: encoderSchema
      .default({ kind: 'transformer', layers: 2, hidden: 1_024, heads: 4, segments: 64 })
      .describe('f_v, f_m and f_t.'),
    fusion: z
      .enum(['add', 'linear', 'mlp', 'transformer-1', 'transformer-2'])
      .default('transformer-2')
      .describe('f_vt.'),
    textDropout: z.number().min(0).max(1).default(0.8).describe('How often words are replaced by x_NULL.'),
    dropout: share.default(0.1).describe('Inside the layers.'),
    inputDropout: share.default(0).describe('On the standardised features.'),
    temperature: z
      .union([z.number().min(0.001).max(10), z.literal('learned')])
      .default(0.03)
      .describe('τ of InfoNCE.'),
    batch: count(2, 65_536).default(512).describe('Pairs that are told apart from each other.'),
    accumulate: count(1, 1_024)
      .default(1)
      .describe('Batches whose mean gradient makes one step. Pairs of different batches are not told apart.'),
    epochs: count(1, 100_000).default(24).describe('At most; the learning rate falls to 0 over them.'),
    learningRate: z.number().positive().max(1).default(1e-3).describe('At its peak.'),
    warmUp: share.default(0.05).describe('Share of the steps in which the learning rate rises.'),
    weightDecay: z.number().min(0).max(10).default(0.05).describe('λ of AdamW, on matrices alone.'),
    beta1: share.default(0.9).describe('Decay of the first moment in AdamW.'),
    beta2: z.number().min(0).max(0.99999).default(0.98).describe('Decay of its second moment.'),
    clipNorm: z.number().positive().optional().describe('Largest norm of all gradients together; none if absent.'),
    emaDecay: z
      .number()
      .min(0)
      .max(0.99999)
      .default(0.98)
      .describe('Of the moving average of the weights, which is what is served.'),
    patience: count(1, 100_000).optional().describe('Epochs without a better validation before it stops.'),
    seed: z.int().min(0).default(1).describe('Of weights, order, words that fall out, windows and masks.'),
  })
  .superRefine(({ encoder, dims, fusion }, context) => {
    const heads = encoder.kind === 'transformer' ? encoder.heads : 1
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (dims % heads !== 0) issue('dims', `must be a multiple of encoder.heads, ${heads}`)
    if (fusion.startsWith('transformer') && dims % 4 !== 0) issue('dims', 'must be a multiple of 4 for this fusion')
  })

export type TrainConfig = z.infer<typeof trainConfigSchema>

/** @throws SetupError 'bad-train-config' naming every bad key. */
export function parseTrainConfig(given: unknown): TrainConfig {
  const parsed = trainConfigSchema.safeParse(given)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
  throw new SetupError('bad-train-config', `The training configuration is not valid:\n  ${problems.join('\n  ')}`)
}

/** How many segments of a sequence the model reads; all where it reads their mean. */
export function mostSegments({ encoder }: Pick<VimlConfig, 'encoder'>): number {
  return encoder.kind === 'transformer' ? encoder.segments : Number.POSITIVE_INFINITY
}

export function modelConfig(config: TrainConfig, widths: VimlConfig['widths']): VimlConfig {
  const { query, dims, encoder, fusion, dropout, inputDropout } = config
  return { query, widths, dims, encoder, fusion, dropout, inputDropout }
}
