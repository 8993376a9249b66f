/** Texts of one writer for the labels of pairs: each set of tags is worded once a variant, however many pairs have it. */

import { InvalidRequestError } from '../../ports/errors.ts'
import { tagsOfAspects } from '../../processors/describe-music/aspects.ts'
import type { CaptionWriter, WrittenDescription } from './caption-writers.ts'

export class Wordings {
  readonly #writer: CaptionWriter
  readonly #written = new Map<string, Promise<WrittenDescription>>()
  readonly #done = new Map<string, WrittenDescription>()
  #pairs = 0
  #worded = 0

  constructor(writer: CaptionWriter) {
    this.#writer = writer
  }

  get method(): string {
    return this.#writer.method
  }

  /** @returns '' where no label names a tag. */
  async word(labels: readonly string[], variant: number): Promise<string> {
    const tags = tagsOfAspects(labels)
    const key = `${tags
      .map(({ category, tag }) => `${category}:${tag}`)
      .sort()
      .join('; ')}/${variant}`
    this.#pairs++
    if (tags.length === 0) return ''
    this.#worded++
    const written = this.#written.get(key) ?? this.#writer.describe(key, tags, new AbortController().signal)
    this.#written.set(key, written)
    const description = await written
    const { code } = description.fallback ?? {}
    if (code !== undefined && code !== 'checks-failed') {
      const message = `The language model did not write (${code}); what it wrote before is kept: run it again`
      throw new InvalidRequestError('no-text', message)
    }
    this.#done.set(key, description)
    return description.text
  }

  about(): string {
    const all = [...this.#done.values()]
    const fallbacks = all.filter(({ fallback }) => fallback !== undefined).length
    const share = ((100 * this.#worded) / Math.max(1, this.#pairs)).toFixed(0)
    const fell = fallbacks === 0 ? '' : `, ${fallbacks} of them by data2text, since the checks refused the model's`
    return `${this.method}: ${new Set(all.map(({ text }) => text)).size} texts for ${this.#written.size} wordings of sets of tags${fell}; ${share} % of the pairs have a tag.`
  }

  all(): Record<string, unknown> {
    const texts = [...this.#done].map(([key, { text, method }]) => ({ key, text, method }))
    return { method: this.method, texts }
  }
}
