/** Music encoder made from a manifest: one or more taggers; their embeddings and their tags stand side by side. */
import type { LabelMapping, MusicEncoder } from '../../ports/encoder.ts'
import { ShapeError } from '../../ports/errors.ts'
import type { ColumnRanges, MusicTaggerManifest } from '../models/profile.ts'
import type { EncoderFiles } from './encoder-files.ts'
import { allFinite, type OnnxGraph, type OnnxSessions } from './session.ts'

export class MusicTagger implements MusicEncoder {
  readonly id: string
  readonly sha256: string
  readonly dims: number
  readonly patchSamples: number
  /** `<prefix><label>`, such as 'mtt:guitar'. */
  readonly labels: readonly string[]
  readonly mapping: LabelMapping
  /** Which values of an embedding come from which tagger. */
  readonly columns: ColumnRanges
  readonly #taggers: readonly (MusicTaggerManifest['taggers'][number] & { readonly graph: OnnxGraph })[]
  readonly #rowsPerRun: number

  /** @throws SetupError 'model-tampered' | 'model-missing' | 'model-labels' for the files of labels and mapping. */
  constructor(manifest: MusicTaggerManifest, files: EncoderFiles, sessions: OnnxSessions) {
    this.id = manifest.id
    this.sha256 = files.sha256
    this.#rowsPerRun = sessions.rowsPerRun
    this.patchSamples = manifest.preprocessing.patchSamples
    this.columns = manifest.columns
    this.#taggers = manifest.taggers.map((tagger) => ({
      ...tagger,
      graph: sessions.graph(files.file(tagger.file), {
        inputs: [{ name: tagger.input, type: 'float32', shape: ['batch', this.patchSamples] }],
        outputs: [tagger.embedding, tagger.tags].map(({ output, dims }) => ({ name: output, dims })),
      }),
    }))
    this.dims = this.#taggers.reduce((sum, { embedding }) => sum + embedding.dims, 0)
    this.labels = this.#taggers.flatMap(({ labels, labelPrefix, tags }) =>
      files.labels(labels, tags.dims).map((label) => `${labelPrefix}${label}`),
    )
    const { mapping } = manifest
    this.mapping =
      typeof mapping === 'string' ? mapping : { origin: files.file(mapping.file).path, value: files.json(mapping.file) }
  }

  async encode(pcm: Float32Array, count: number): Promise<{ embeddings: Float32Array; tags: Float32Array }> {
    if (pcm.length !== count * this.patchSamples) {
      const message = `${count} patches have ${count * this.patchSamples} samples, got ${pcm.length}.`
      throw new ShapeError(message)
    }
    if (!allFinite(pcm)) throw new ShapeError('The samples hold values that are not finite.')
    const embeddings = new Float32Array(count * this.dims)
    const tags = new Float32Array(count * this.labels.length)
    for (let start = 0; start < count; start += this.#rowsPerRun) {
      const batch = Math.min(this.#rowsPerRun, count - start)
      const data = pcm.slice(start * this.patchSamples, (start + batch) * this.patchSamples)
      let embeddingColumn = 0
      let tagColumn = 0
      // One after the other: side by side they would double the memory.
      for (const tagger of this.#taggers) {
        const outputs = await tagger.graph.run({ [tagger.input]: { data, shape: [batch, this.patchSamples] } }, batch)
        for (let row = 0; row < batch; row += 1) {
          const { embedding, tags: tagOutput } = tagger
          embeddings.set(
            outputs[embedding.output]!.subarray(row * embedding.dims, (row + 1) * embedding.dims),
            (start + row) * this.dims + embeddingColumn,
          )
          tags.set(
            outputs[tagOutput.output]!.subarray(row * tagOutput.dims, (row + 1) * tagOutput.dims),
            (start + row) * this.labels.length + tagColumn,
          )
        }
        embeddingColumn += tagger.embedding.dims
        tagColumn += tagger.tags.dims
      }
    }
    return { embeddings, tags }
  }
}
