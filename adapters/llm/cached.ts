/** A generator that asks for each text once: what it wrote is kept by the hash of all that the text depends on. */
import { createHash } from 'node:crypto'
import { OutageError } from '../../ports/errors.ts'
import type { GenerationStore, Prompt, TextGenerator } from '../../ports/text-generator.ts'

export interface CachedOptions {
  readonly generator: TextGenerator
  readonly store: Pick<GenerationStore, 'kept' | 'keep'>
  readonly maxTokens: number
  readonly now: () => number
  readonly observe?: { cache(hit: boolean): void }
}

export function cachedGenerator({ generator, store, maxTokens, now, observe }: CachedOptions): TextGenerator {
  const { model, kind, temperature } = generator
  const hashOf = ({ system, user, stop }: Prompt, seed: number) =>
    createHash('sha256')
      .update(JSON.stringify([model, kind, temperature, maxTokens, seed, system ?? null, user, stop]))
      .digest('hex')
  return {
    model,
    kind,
    temperature,
    async complete(prompt, options) {
      const hash = hashOf(prompt, options.seed)
      const kept = await store.kept(hash)
      observe?.cache(kept !== undefined)
      if (kept !== undefined) return { ...kept, usd: 0, cached: true }
      const completion = await generator.complete(prompt, options)
      const { text, truncated, inputTokens, outputTokens } = completion
      // A text that was paid for is worth more than its place among those that are kept.
      await store.keep(hash, { text, truncated, inputTokens, outputTokens }, now()).catch((error: unknown) => {
        if (!(error instanceof OutageError)) throw error
      })
      return completion
    },
    close: () => generator.close(),
  }
}
