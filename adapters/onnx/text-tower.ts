/**
 * Text encoder made from a manifest: a tokenizer and one graph. Rows are made unit length.
 *
 * Texts run one at a time: a row then never depends on its neighbours, as it would in a graph whose activations are
 * quantised over the batch, and nothing is spent on padding.
 */
import { Tokenizer } from '@huggingface/tokenizers'
import type { TextEncoder } from '../../ports/encoder.ts'
import { SetupError, ShapeError } from '../../ports/errors.ts'
import type { TextTowerManifest } from '../models/profile.ts'
import type { EncoderFiles } from './encoder-files.ts'
import type { OnnxGraph, OnnxSessions } from './session.ts'

/** Recent texts whose rows are kept: the same words are asked again and again. */
const cachedTexts = 1024
/** Only so much of a text is tokenized for each token that is used; a token of words is rarely longer than 12. */
const charactersPerToken = 32

interface LoadedTokenizer {
  encode(text: string): number[]
  readonly padId: bigint
}

export class TextTower implements TextEncoder {
  readonly id: string
  readonly sha256: string
  readonly dims: number
  readonly #manifest: TextTowerManifest
  readonly #files: EncoderFiles
  readonly #graph: OnnxGraph
  #tokenizer: LoadedTokenizer | undefined
  /** Least recently used first. */
  readonly #cache = new Map<string, Float32Array>()

  constructor(manifest: TextTowerManifest, files: EncoderFiles, sessions: OnnxSessions) {
    this.id = manifest.id
    this.sha256 = files.sha256
    this.dims = manifest.output.dims
    this.#manifest = manifest
    this.#files = files
    this.#graph = sessions.graph(files.file(manifest.file), {
      inputs: [{ name: manifest.inputs.ids, type: 'int64', shape: ['batch', 'tokens'] }],
      optionalInputs: [manifest.inputs.mask],
      outputs: [{ name: manifest.output.output, dims: manifest.output.dims }],
    })
  }

  async encode(texts: readonly string[]): Promise<Float32Array> {
    const result = new Float32Array(texts.length * this.dims)
    for (const [index, text] of texts.entries()) {
      const row = this.#cache.get(text) ?? (await this.#encodeOne(text))
      this.#remember(text, row)
      result.set(row, index * this.dims)
    }
    return result
  }

  /** @returns token ids with start and end tokens, at most maxTokens. */
  tokenize(text: string): number[] {
    this.#tokenizer ??= this.#loadTokenizer()
    const { maxTokens } = this.#manifest.tokenizer
    const ids = this.#tokenizer.encode(text.slice(0, maxTokens * charactersPerToken))
    return ids.length <= maxTokens ? ids : [...ids.slice(0, maxTokens - 1), ids.at(-1)!]
  }

  async #encodeOne(text: string): Promise<Float32Array> {
    const tokens = this.tokenize(text)
    const length = Math.max(tokens.length, this.#manifest.tokenizer.padding?.length ?? 0)
    const ids = new BigInt64Array(length).fill(this.#tokenizer!.padId)
    const mask = new BigInt64Array(length).fill(1n, 0, tokens.length)
    ids.set(tokens.map(BigInt))
    const { inputs, output } = this.#manifest
    const shape = [1, length]
    const feeds = { [inputs.ids]: { data: ids, shape }, [inputs.mask]: { data: mask, shape } }
    const values = (await this.#graph.run(feeds, 1))[output.output]!
    return unit(values, this.id)
  }

  #loadTokenizer(): LoadedTokenizer {
    const { file, config, padding } = this.#manifest.tokenizer
    const path = this.#files.file(file).path
    const definition = this.#files.json(file)
    const options = this.#files.json(config)
    try {
      const tokenizer = new Tokenizer(definition as object, options as object)
      const padId = padding === null ? 0 : tokenizer.token_to_id(padding.token)
      if (padId === undefined) throw new RangeError(`it has no token "${padding?.token}"`)
      return { encode: (text) => tokenizer.encode(text).ids, padId: BigInt(padId) }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new SetupError('model-unreadable', `${path} is not a tokenizer that can be used: ${reason}.`, { cause })
    }
  }

  #remember(text: string, row: Float32Array): void {
    if (text.length > 4096) return
    this.#cache.delete(text)
    this.#cache.set(text, row)
    if (this.#cache.size > cachedTexts) this.#cache.delete(this.#cache.keys().next().value!)
  }
}

function unit(row: Float32Array, id: string): Float32Array {
  const norm = Math.hypot(...row)
  if (norm === 0) throw new ShapeError(`The text encoder ${id} gave a row of zeros, which has no direction.`)
  return row.map((value) => value / norm)
}
