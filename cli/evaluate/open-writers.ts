/**
 * The writers that an evaluation asks for, as the configuration has them. Every tag is claimed: people gave them. Texts of
 * the model and what they cost are kept in the data folder, so that a run that was stopped goes on where it was.
 */
import { Registry } from 'prom-client'
import { openGenerationStore } from '../../adapters/embedded/generation-store.ts'
import type { TextGenerator } from '../../ports/text-generator.ts'
import { createDescriber, type Describer } from '../../processors/describe-music/describer.ts'
import { cleanCompletion } from '../../processors/describe-music/prompt.ts'
import type { Config } from '../../runtime/config.ts'
import { openDescribing } from '../describing.ts'
import { dataPaths } from '../paths.ts'
import type { CaptionWriter, WrittenDescription } from './caption-writers.ts'

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
  config: Config,
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

  const generations = openGenerationStore(dataPaths(config.dataFolder).generations)
  const parts = { texts: generations, registry: new Registry(), now: Date.now }
  const describing = await openDescribing(config, parts, { ...settings, method: 'prompt2text' })
  const drafts = new WeakMap<AbortSignal, string>()
  const describer = createDescriber({
    ...settings,
    method: 'prompt2text',
    generator: notingDrafts(describing.generator!, drafts),
    pool: describing.pool,
    pairs: config.llmPairs,
    pairChoice: config.llmPairChoice,
  })
  return {
    writers: [...byRules, writerOf(describer, config.llmConcurrency, drafts)],
    notes: [
      `Prompts hold ${config.llmPairs} examples of ${describing.pool.pairs.length}, chosen ${config.llmPairChoice}.`,
    ],
    examples: describing.pool.pairs.map(({ text }) => text),
    async close() {
      await describing.close()
      await generations.close()
    },
  }
}

/** A describer tells what passed; what the model wrote first is told apart by the signal of the one who asked. */
function notingDrafts(generator: TextGenerator, drafts: WeakMap<AbortSignal, string>): TextGenerator {
  const { model, kind, temperature } = generator
  return {
    model,
    kind,
    temperature,
    async complete(prompt, options) {
      const completion = await generator.complete(prompt, options)
      const { text, truncated } = completion
      if (!drafts.has(options.signal)) drafts.set(options.signal, cleanCompletion(text, { truncated }))
      return completion
    },
    close: () => generator.close(),
  }
}

function writerOf(describer: Describer, atATime: number, drafts?: WeakMap<AbortSignal, string>): CaptionWriter {
  return {
    method: describer.method,
    atATime,
    async describe(id, tags, signal): Promise<WrittenDescription> {
      const own = AbortSignal.any([signal])
      const description = await describer.describe(id, tags, own)
      return { ...description, firstDraft: drafts?.get(own) }
    },
  }
}
