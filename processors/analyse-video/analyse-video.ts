/**
 * Turns each uploaded video into a feature sequence: frames at 6 fps through the frozen image encoder, averaged inside
 * each 10 s segment (McKee et al. 2023, §3).
 *
 *     uploads.received.v1 ──▶ analyse-video ──▶ video.features.v1
 *     uploads.removed.v1  ──┘                   (a takedown leaves a tombstone)
 *
 * Key: uploadId. Delivery: exactly once between topics.
 * Fails: media that cannot be decoded → dead letter with the decoder's code.
 */
import type { ImageEncoder } from '../../ports/encoder.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { MediaDecoder, MediaStore } from '../../ports/media.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { uploadsReceived, uploadsRemoved, videoFeatures } from '../../topics/topics.ts'
import { createSegmentMean } from './segment-mean.ts'

export interface AnalyseVideoDeps {
  readonly mediaStore: MediaStore
  readonly decoder: MediaDecoder
  readonly imageEncoder: ImageEncoder
  readonly now: () => number
}

export const FRAMES_PER_SECOND = 6
export const SEGMENT_SECONDS = 10
const FRAMES_PER_BATCH = 8

export const analyseVideo = defineProcessor({
  name: 'analyse-video',
  from: [uploadsReceived, uploadsRemoved],
  to: [videoFeatures],
  delivery: 'exactly-once',
  maxRecords: 1,
  async handle(record, deps: AnalyseVideoDeps, { signal }) {
    if (record.value.kind !== 'video') return []
    if (record.topic === uploadsRemoved.name) return [videoFeatures.record(record.key, null)]
    const { mediaStore, decoder, imageEncoder, now } = deps
    const path = await mediaStore.path(record.value.media.uri)
    const { dims } = imageEncoder
    const mean = createSegmentMean(dims, FRAMES_PER_SECOND * SEGMENT_SECONDS)
    const options = { framesPerSecond: FRAMES_PER_SECOND, framesPerBatch: FRAMES_PER_BATCH, signal }
    for await (const { pixels, count } of decoder.frames(path, options)) {
      mean.add(await imageEncoder.encode(pixels, count), count) // (count, 224, 224, 3) → (count, d)
    }
    const { values, segments, frames } = mean.finish() // (n, d)
    if (segments === 0) {
      throw new InvalidRecordError('media-no-frames', `Video ${record.key} has no frames that could be decoded`)
    }
    return [
      videoFeatures.record(record.key, {
        videoId: record.key,
        segments,
        dims,
        values: Buffer.from(values.buffer),
        segmentSeconds: SEGMENT_SECONDS,
        durationSeconds: frames / FRAMES_PER_SECOND,
        encoder: { id: imageEncoder.id, sha256: imageEncoder.sha256 },
        computedAt: now(),
      }),
    ]
  },
})
