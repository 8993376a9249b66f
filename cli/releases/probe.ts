/**
 * Whether a release can serve at all, tried in a process of its own before anything is embedded by it: its files are what
 * was published, its towers load, and give unit vectors of finite values for whatever the stages may feed them.
 */
import { startTowers, type TowersProcess } from '../../adapters/onnx/towers-process.ts'
import { seededRandom } from '../../model/random.ts'
import type { FeatureSequence, QueryInput } from '../../ports/encoder.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

/** An hour of sound, six seconds over. */
const LONG_SEGMENTS = 361

/**
 * @param check refuses a release that does not fit this product.
 * @throws InvalidRecordError 'unknown-release' | 'tampered-release' | 'unusable-release'; what `check` throws
 */
export async function probeRelease(
  store: ModelStore,
  release: string,
  check: (manifest: ReleaseManifest) => void,
): Promise<ReleaseManifest> {
  const towers = await startTowers(store, release, { restarts: false, background: true })
  try {
    check(towers.manifest)
    await towers.ready()
    await tryOut(towers)
    return towers.manifest
  } catch (cause) {
    if (cause instanceof InvalidRecordError && cause.code !== 'bad-shape') throw cause
    if (!(cause instanceof Error) || !isItsOwn(cause)) throw cause
    throw new InvalidRecordError('unusable-release', `Release ${release} cannot serve: ${cause.message}`, { cause })
  } finally {
    await towers.close()
  }
}

/** What the towers did, rather than what `check` found. */
function isItsOwn(error: Error): boolean {
  const { code } = error as { code?: unknown }
  return code === undefined || code === 'bad-shape' || (typeof code === 'string' && code.startsWith('towers-'))
}

async function tryOut(towers: TowersProcess): Promise<void> {
  const { video, music, text } = towers.manifest.encoders
  const random = seededRandom(`probe of ${towers.release}`)
  const values = (count: number, scale: number) =>
    Float32Array.from({ length: count }, () => (2 * random() - 1) * scale)
  const sequence = (segments: number, dims: number, scale: number): FeatureSequence => ({
    values: values(segments * dims, scale),
    segments,
    dims,
  })
  for (const [segments, scale] of [
    [1, 1],
    [18, 0.01],
    [LONG_SEGMENTS, 10],
  ] as const) {
    const { whole, segments: rows } = await towers.music(sequence(segments, music.dims, scale))
    expectRows(towers, whole, 1)
    expectRows(towers, rows, segments)
    const film = sequence(segments, video.dims, scale)
    const words = values(text.dims, scale)
    const queries: QueryInput[] = [
      { video: film },
      { text: words },
      { video: film, text: words },
      { video: film, text: words, weights: { text: 0.001, video: 100 } },
      { video: film, text: words, weights: { text: 100, video: 0 } },
    ]
    for (const query of queries) expectRows(towers, await towers.query(query), 1)
  }
}

/** Lengths, and that all is finite, are checked by the towers themselves (adapters/onnx/towers.ts [unit]). */
function expectRows({ dims, release }: TowersProcess, vectors: Float32Array, rows: number): void {
  if (vectors.length === rows * dims) return
  const message = `Release ${release} gave ${vectors.length} values for ${rows} vectors of ${dims}`
  throw new InvalidRecordError('unusable-release', message)
}
