/**
 * Embeds each video, with no words asked, into the joint space of one release: the stage runs once for each release in use.
 *
 *     video.features.v1 ──▶ embed-video ──▶ video.embedded.v1
 *
 * Group: embed-video@release, which begins at the topic's start, so that a new release embeds all there is.
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
  readonly towers: ReleaseTowers
  readonly now: () => number
}

export const embedVideo = defineProcessor({
  name: 'embed-video',
  from: [videoFeatures],
  to: [videoEmbedded],
  delivery: 'exactly-once',
  async handle({ key, value, headers }, { towers, now }: EmbedVideoDeps) {
    const video = { values: unpackFloats(value.values), segments: value.segments, dims: value.dims } // (n, d)
    if (value.encoder.id !== towers.encoders.video) {
      throw new InvalidRecordError(
        'encoder-mismatch',
        `Video ${key} was encoded by ${value.encoder.id}; release ${towers.release} takes ${towers.encoders.video}. Analyse it again.`,
      )
    }
    const whole = await towers.query({ video }) // (D,)
    return [
      videoEmbedded.record(
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
      ),
    ]
  },
  async handleTombstone({ key, headers }, { towers }: EmbedVideoDeps) {
    const options = { partitionBy: key, headers: uploadStamp(headers) }
    return [videoEmbedded.record(embeddingKey(key, towers.release), null, options)]
  },
})
