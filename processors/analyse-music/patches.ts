/** Cuts a stream of samples into the fixed patches that a tagger takes. */

export interface PatchBatch {
  /** (count, patchSamples) row-major. */
  readonly pcm: Float32Array
  readonly count: number
  /** Time of the first patch. */
  readonly startSeconds: number
}

/**
 * Patches follow each other with no gap. What is left at the end makes a patch of its own, filled up with silence, when
 * it is at least half a patch or all there is; else it is dropped.
 */
export async function* patches(
  chunks: AsyncIterable<Float32Array>,
  patchSamples: number,
  patchesPerBatch: number,
  sampleRateHz: number,
): AsyncGenerator<PatchBatch> {
  let pcm = new Float32Array(patchSamples * patchesPerBatch)
  let filled = 0
  let done = 0
  const batch = (count: number): PatchBatch => {
    const startSeconds = (done * patchSamples) / sampleRateHz
    done += count
    return { pcm: pcm.subarray(0, count * patchSamples), count, startSeconds }
  }
  for await (const chunk of chunks) {
    for (let read = 0; read < chunk.length; ) {
      const take = Math.min(chunk.length - read, pcm.length - filled)
      pcm.set(chunk.subarray(read, read + take), filled)
      filled += take
      read += take
      if (filled === pcm.length) {
        yield batch(patchesPerBatch)
        pcm = new Float32Array(pcm.length)
        filled = 0
      }
    }
  }
  const left = filled % patchSamples
  const whole = Math.floor(filled / patchSamples)
  const count = left >= patchSamples / 2 || (left > 0 && done + whole === 0) ? whole + 1 : whole
  if (count > 0) yield batch(count)
}
