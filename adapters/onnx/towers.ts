/**
 * The towers of a release, from its bundle in the model store, run by onnxruntime. Any release fits whose graphs have
 * these inputs and outputs:
 *
 *     music:  features [batch, segments, dims], mask [batch, segments] → whole [batch, D], segments [batch, segments, D]
 *     query:  video [batch, segments, dims], video_mask [batch, segments], text [batch, dims], weights [batch, 2] (text,
 *             video; 0 = absent) → vector [batch, D]
 *
 * Invariants:
 *   [checked]  a graph reads no other file; inputs have the widths of the manifest; inputs and outputs are finite
 *   [unit]     every vector that leaves is a unit vector
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { inspectOnnx } from '../../model/onnx-reader.ts'
import type { FeatureSequence, QueryInput, ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRecordError, ShapeError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { allFinite } from './session.ts'

const INPUTS = { query: ['video', 'video_mask', 'text', 'weights'], music: ['features', 'mask'] } as const
const OUTPUTS = { query: ['vector'], music: ['whole', 'segments'] } as const
/** How far the squared length of a vector may be from 1. */
const UNIT_TOLERANCE = 1e-3

/** @throws InvalidRecordError 'unknown-release' | 'tampered-release' | 'unusable-release' */
export async function loadTowers(store: ModelStore, release: string): Promise<OnnxTowers> {
  const { manifest, directory } = await store.fetch(release)
  return openTowers(manifest, directory)
}

/**
 * @param directory holds the files that the manifest names; each is checked against its sha256 as it is read.
 * @throws InvalidRecordError 'tampered-release' | 'unusable-release'
 */
export async function openTowers(manifest: ReleaseManifest, directory: string): Promise<OnnxTowers> {
  const query = await load(manifest, directory, 'query')
  const music = await load(manifest, directory, 'music')
  return new OnnxTowers(manifest, query, music)
}

export class OnnxTowers implements ReleaseTowers {
  readonly release: string
  readonly dims: number
  readonly encoders: ReleaseTowers['encoders']
  readonly manifest: ReleaseManifest
  readonly #query: InferenceSession
  readonly #music: InferenceSession

  constructor(manifest: ReleaseManifest, query: InferenceSession, music: InferenceSession) {
    this.release = manifest.release
    this.dims = manifest.dims
    this.manifest = manifest
    const { video, music: heard, text } = manifest.encoders
    this.encoders = { video: video.id, music: heard.id, text: text.id }
    this.#query = query
    this.#music = music
  }

  async query({ video, text, weights = { text: 1, video: 1 } }: QueryInput): Promise<Float32Array> {
    const { encoders } = this.manifest
    const shares = [text === undefined ? 0 : weights.text, video === undefined ? 0 : weights.video]
    if (!shares.every((share) => Number.isFinite(share) && share >= 0) || shares[0]! + shares[1]! === 0) {
      throw new ShapeError(`A query needs a text or a video that weighs more than 0; the weights are ${shares}.`)
    }
    if (text !== undefined) checkValues('The text', text, encoders.text.dims)
    if (video !== undefined) checkSequence('The video', video, encoders.video.dims)
    const sequence = video ?? { values: new Float32Array(encoders.video.dims), segments: 1, dims: encoders.video.dims }
    const outputs = await this.#query.run(
      {
        video: tensor(sequence.values, [1, sequence.segments, sequence.dims]),
        video_mask: tensor(new Float32Array(sequence.segments).fill(video === undefined ? 0 : 1), [
          1,
          sequence.segments,
        ]),
        text: tensor(text ?? new Float32Array(encoders.text.dims), [1, encoders.text.dims]),
        weights: tensor(Float32Array.from(shares), [1, 2]),
      },
      [...OUTPUTS.query],
    )
    return this.#vectors(outputs.vector, 'vector', 1)
  }

  async music(features: FeatureSequence): Promise<{ whole: Float32Array; segments: Float32Array }> {
    checkSequence('The track', features, this.manifest.encoders.music.dims)
    const outputs = await this.#music.run(
      {
        features: tensor(features.values, [1, features.segments, features.dims]),
        mask: tensor(new Float32Array(features.segments).fill(1), [1, features.segments]),
      },
      [...OUTPUTS.music],
    )
    return {
      whole: this.#vectors(outputs.whole, 'whole', 1),
      segments: this.#vectors(outputs.segments, 'segments', features.segments),
    }
  }

  /** Frees the graphs; the towers cannot be used afterwards. */
  async dispose(): Promise<void> {
    await this.#query.release()
    await this.#music.release()
  }

  /** [checked] [unit] */
  #vectors(output: Tensor | undefined, name: string, rows: number): Float32Array {
    const data = output?.data
    if (!(data instanceof Float32Array) || data.length !== rows * this.dims) {
      throw new ShapeError(`Release ${this.release} gave "${name}" of [${output?.dims}], not [${rows}, ${this.dims}].`)
    }
    for (let row = 0; row < rows; row++) {
      let squared = 0
      for (let i = row * this.dims; i < (row + 1) * this.dims; i++) squared += data[i]! ** 2
      if (!(Math.abs(squared - 1) <= UNIT_TOLERANCE)) {
        const length = Math.sqrt(squared)
        throw new ShapeError(`Release ${this.release} gave "${name}" with a row of length ${length}, not 1.`)
      }
    }
    return data
  }
}

/** [checked] */
async function load(manifest: ReleaseManifest, directory: string, tower: 'query' | 'music'): Promise<InferenceSession> {
  const { release } = manifest
  const file = manifest.towers[tower]
  const unusable = (why: string, cause?: unknown) =>
    new InvalidRecordError('unusable-release', `The ${tower} tower of release ${release}, ${file}, ${why}.`, { cause })
  const bytes = await readFile(path.join(directory, file))
  const { sha256 } = manifest.files.find(({ name }) => name === file)!
  if (createHash('sha256').update(bytes).digest('hex') !== sha256) {
    throw new InvalidRecordError('tampered-release', `${file} of release ${release} is not what was published.`)
  }
  let session: InferenceSession
  try {
    if (inspectOnnx(bytes).externalTensors.length > 0) throw unusable('wants to read other files')
    session = await InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    })
  } catch (error) {
    if (error instanceof InvalidRecordError) throw error
    throw unusable(`cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, error)
  }
  const missing = [
    ...INPUTS[tower].filter((name) => !session.inputNames.includes(name)),
    ...OUTPUTS[tower].filter((name) => !session.outputNames.includes(name)),
  ]
  if (missing.length > 0) throw unusable(`has no ${missing.join(', ')}`)
  return session
}

function checkSequence(what: string, { values, segments, dims }: FeatureSequence, expected: number): void {
  if (segments < 1 || dims !== expected) {
    throw new ShapeError(`${what} has features of (${segments}, ${dims}); the release takes (n ≥ 1, ${expected}).`)
  }
  checkValues(what, values, segments * dims)
}

function checkValues(what: string, values: Float32Array, expected: number): void {
  if (values.length !== expected) throw new ShapeError(`${what} has ${values.length} values instead of ${expected}.`)
  if (!allFinite(values)) throw new ShapeError(`${what} has values that are not finite.`)
}

function tensor(data: Float32Array, shape: readonly number[]): Tensor {
  return new Tensor('float32', data, shape)
}
