/**
 * Embeds each track's feature sequence into the joint space of one release: the stage runs once for each release in use.
 *
 *     music.features.v1 ──▶ embed-music ──▶ music.embedded.v1
 *
 * Group: embed-music@release, which begins at the topic's start, so that a new release embeds all there is.
 * Key: trackId/release, partitioned by trackId. Delivery: exactly once between topics.
 * A video's soundtrack serves training only and is passed by.
 * Fails: features of another encoder or with values that are not finite → dead letter.
 */
import { packFloats, unpackFloats } from '../../model/features.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { embeddingKey } from '../../topics/embedding-key.ts'
import { musicEmbedded, musicFeatures } from '../../topics/topics.ts'
import { uploadStamp } from '../../topics/upload-stamp.ts'

export interface EmbedMusicDeps {
  readonly towers: ReleaseTowers
  readonly now: () => number
}

export const embedMusic = defineProcessor({
  name: 'embed-music',
  from: [musicFeatures],
  to: [musicEmbedded],
  delivery: 'exactly-once',
  async handle({ key, value, headers }, { towers, now }: EmbedMusicDeps) {
    if (value.source === 'soundtrack') return []
    const features = { values: unpackFloats(value.values), segments: value.segments, dims: value.dims } // (n, d)
    if (value.encoder.id !== towers.encoders.music) {
      throw new InvalidRecordError(
        'encoder-mismatch',
        `Track ${key} was encoded by ${value.encoder.id}; release ${towers.release} takes ${towers.encoders.music}. Analyse it again.`,
      )
    }
    const { whole, segments } = await towers.music(features) // (D,), (n, D)
    return [
      musicEmbedded.record(
        embeddingKey(key, towers.release),
        {
          trackId: key,
          release: towers.release,
          dims: towers.dims,
          vector: Buffer.from(packFloats(whole)),
          segments: value.segments,
          segmentVectors: Buffer.from(packFloats(segments)),
          segmentSeconds: value.segmentSeconds,
          embeddedAt: now(),
        },
        { partitionBy: key, headers: uploadStamp(headers) },
      ),
    ]
  },
  async handleTombstone({ key, headers }, { towers }: EmbedMusicDeps) {
    const options = { partitionBy: key, headers: uploadStamp(headers) }
    return [musicEmbedded.record(embeddingKey(key, towers.release), null, options)]
  },
})
