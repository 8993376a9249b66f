/**
 * The writers that an evaluation asks for, as the configuration has them. Every tag is claimed: people gave them. Texts of
 * the model and what they cost are kept in the data folder, so that a run that was stopped goes on where it was.
 */
import { Registry } from 'prom-client'
import { openGenerationStore } from '../../adapters/embedded/generation-store.ts'
import { createDescriber, type Describer } from '../../processors/describe-music/describer.ts'
import type { Context } from '../context.ts'
import { openDescribing } from '../describing.ts'
import { dataPaths } from '../paths.ts'
import type { CaptionWriter } from './caption-writers.ts'

export const METHODS = ['tags', 'data2text', 'prompt2text'] as const
export type CaptionMethod = (typeof METHODS)[number]

export interface OpenWriters {
  readonly writers: readonly CaptionWriter[]
  /** What was left out, and why. */
  readonly notes: readonly string[]
  /** Texts that the model is shown: captions among them were seen before. */
  readonly examples: readonly string[]
  close(): Promise<void>
}

export async function openWriters(
  { config, logger }: Pick<Context, 'config' | 'logger'>,
  { methods, seed }: { methods: readonly CaptionMethod[]; seed: number },
): Promise<OpenWriters> {
  const settings = { seed, claims: 'all' } as const
  const byRules = methods
    .filter((method) => method !== 'prompt2text')
    .map((method) => writerOf(createDescriber({ ...settings, method }), 1))
  if (!methods.includes('prompt2text')) return { writers: byRules, notes: [], examples: [], close: async () => {} }
  if (config.llmUrl === undefined) {
    const note = 'prompt2text was left out: the configuration names no endpoint (llmUrl and llmModel).'
    return { writers: byRules, notes: [note], examples: [], close: async () => {} }
  }

  const texts = openGenerationStore(dataPaths(config.dataFolder).generations)
  const parts = { texts, registry: new Registry(), logger, now: Date.now }
  const opening = openDescribing(config, parts, { ...settings, method: 'prompt2text' })
  const describing = await opening.catch(async (error) => {
    await texts.close()
    throw error
  })
  return {
    writers: [...byRules, writerOf(describing.describer, config.llmConcurrency)],
    notes: [
      `Prompts hold ${config.llmPairs} examples of ${describing.pool.pairs.length}, chosen ${config.llmPairChoice}.`,
    ],
    examples: describing.pool.pairs.map(({ text }) => text),
    async close() {
      await describing.close()
      await texts.close()
    },
  }
}

function writerOf(describer: Describer, atATime: number): CaptionWriter {
  const { method } = describer
  return { method, atATime, describe: (id, tags, signal) => describer.describe(id, tags, signal) }
}
