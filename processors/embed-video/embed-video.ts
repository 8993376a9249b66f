/**
 * Embeds each video, with no words asked, into the joint space of every release in use.
 *
 *     video.features.v1 ──▶ embed-video ──▶ video.embedded.v1   (one record a release)
 *
 * Key: videoId/release, partitioned by videoId. Delivery: exactly once between topics.
 * Fails: features of another encoder or with values that are not finite → dead letter.
 */
import { packFloats, unpackFloats } from '../../model/features.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { embeddingKey } from '../../topics/embedding-key.ts'
import { videoEmbedded, videoFeatures } from '../../topics/topics.ts'
import { uploadStamp } from '../../topics/upload-stamp.ts'

export interface EmbedVideoDeps {
  /** Releases that serve or are being prepared. */
  readonly releases: () => readonly ReleaseTowers[]
  readonly now: () => number
}

export const embedVideo = defineProcessor({
  name: 'embed-video',
  from: [videoFeatures],
  to: [videoEmbedded],
  delivery: 'exactly-once',
  async handle({ key, value, headers }, { releases, now }: EmbedVideoDeps) {
    const video = { values: unpackFloats(value.values), segments: value.segments, dims: value.dims } // (n, d)
    return Promise.all(
      releases().map(async (towers) => {
        if (value.encoder.id !== towers.encoders.video) {
          throw new InvalidRecordError(
            'encoder-mismatch',
            `Video ${key} was encoded by ${value.encoder.id}; release ${towers.release} takes ${towers.encoders.video}. Analyse it again.`,
          )
        }
        const whole = await towers.query({ video }) // (D,)
        return videoEmbedded.record(
          embeddingKey(key, towers.release),
          {
            videoId: key,
            release: towers.release,
            dims: towers.dims,
            vector: Buffer.from(packFloats(whole)),
            segments: 0,
            segmentVectors: Buffer.alloc(0),
            segmentSeconds: value.segmentSeconds,
            embeddedAt: now(),
          },
          { partitionBy: key, headers: uploadStamp(headers) },
        )
      }),
    )
  },
  async handleTombstone({ key, headers }, { releases }: EmbedVideoDeps) {
    const options = { partitionBy: key, headers: uploadStamp(headers) }
    return releases().map(({ release }) => videoEmbedded.record(embeddingKey(key, release), null, options))
  },
})
