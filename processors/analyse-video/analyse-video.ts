/**
 * Turns each uploaded video into a feature sequence: frames at 6 fps through the frozen image encoder, averaged inside
 * each 10 s segment (McKee et al. 2023, §3).
 *
 *     uploads.received.v1 ──▶ analyse-video ──▶ video.features.v1   (a tombstone for a tombstone)
 *
 * Key: uploadId. Delivery: exactly once between topics.
 * Fails: media that cannot be decoded → dead letter with the decoder's code.
 */
import { packFloats, SEGMENT_SECONDS, SegmentMeans } from '../../model/features.ts'
import type { ImageEncoder } from '../../ports/encoder.ts'
import type { MediaDecoder, MediaStore } from '../../ports/media.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { uploadsReceived, videoFeatures } from '../../topics/topics.ts'
import { kindOf, receiptStamp, uploadStamp } from '../../topics/upload-stamp.ts'

export interface AnalyseVideoDeps {
  readonly mediaStore: MediaStore
  readonly decoder: MediaDecoder
  readonly imageEncoder: ImageEncoder
  /** Unix epoch ms up to which receipts of an upload are void: it may have been taken down while it waited. */
  readonly takenDownAt: (id: string) => Promise<number | undefined>
  readonly now: () => number
}

export const FRAMES_PER_SECOND = 6
const FRAMES_PER_BATCH = 8

export const analyseVideo = defineProcessor({
  name: 'analyse-video',
  from: [uploadsReceived],
  to: [videoFeatures],
  delivery: 'exactly-once',
  maxRecords: 1,
  async handle(record, deps: AnalyseVideoDeps, { signal }) {
    if (record.value.kind !== 'video') return []
    if (record.value.receivedAt <= ((await deps.takenDownAt(record.key)) ?? -1)) return []
    const { mediaStore, decoder, imageEncoder, now } = deps
    const path = await mediaStore.path(record.value.media.uri)
    const { dims } = imageEncoder
    const means = new SegmentMeans(dims)
    let frames = 0
    const options = { framesPerSecond: FRAMES_PER_SECOND, framesPerBatch: FRAMES_PER_BATCH, signal }
    for await (const { pixels, count } of decoder.frames(path, options)) {
      const rows = await imageEncoder.encode(pixels, count) // (count, 224, 224, 3) → (count, d)
      for (let row = 0; row < count; row++, frames++) {
        means.add(frames / FRAMES_PER_SECOND, rows.subarray(row * dims, (row + 1) * dims))
      }
    }
    const { values, segments } = means.finish() // (n, d)
    return [
      videoFeatures.record(
        record.key,
        {
          videoId: record.key,
          segments,
          dims,
          values: Buffer.from(packFloats(values)),
          segmentSeconds: SEGMENT_SECONDS,
          durationSeconds: frames / FRAMES_PER_SECOND,
          encoder: { id: imageEncoder.id, sha256: imageEncoder.sha256 },
          computedAt: now(),
        },
        { headers: receiptStamp(record.value.receivedAt) },
      ),
    ]
  },
  async handleTombstone({ key, headers }) {
    return kindOf(headers) === 'track' ? [] : [videoFeatures.record(key, null, { headers: uploadStamp(headers) })]
  },
})
