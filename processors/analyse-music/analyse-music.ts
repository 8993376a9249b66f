/**
 * Hears what is in each uploaded track, and in the soundtrack of each uploaded video.
 *
 *     uploads.received.v1 ──▶ analyse-music ──┬▶ music.tagged.v1     (vocabulary, tempo, key, loudness)
 *                                             └▶ music.features.v1   (n × d, one row a 10 s segment)
 *                                                (tombstones for a tombstone)
 *
 * Key: uploadId. One pass over 16 kHz mono samples; memory does not grow with length but for the segments' rows.
 * Delivery: exactly once between topics. A video that is silent or has no sound yields nothing: it needs no soundtrack.
 * Fails: media that cannot be decoded, a track with no sound or silent → dead letter with its code.
 */
import { packFloats, SEGMENT_SECONDS, SegmentMeans } from '../../model/features.ts'
import type { MusicEncoder } from '../../ports/encoder.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { MediaDecoder, MediaStore } from '../../ports/media.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { musicFeatures, musicTagged, uploadsReceived } from '../../topics/topics.ts'
import { receiptStamp, uploadStamp } from '../../topics/upload-stamp.ts'
import { MusicDsp, SAMPLE_RATE_HZ } from './dsp/music-dsp.ts'
import { musicFeatureEncoder } from './feature-encoder.ts'
import type { Hearing } from './hearing.ts'
import { patches } from './patches.ts'
import { confidentTags, hearMusic } from './tagging.ts'

export interface AnalyseMusicDeps {
  readonly mediaStore: MediaStore
  readonly decoder: MediaDecoder
  readonly musicEncoder: MusicEncoder
  /** Of the encoder's labels. */
  readonly hearing: Hearing
  /** Unix epoch ms up to which receipts of an upload are void: it may have been taken down while it waited. */
  readonly takenDownAt: (id: string) => Promise<number | undefined>
  readonly now: () => number
}

/** Patches in one run of the encoder. */
const PATCHES_PER_BATCH = 4
/** What is kept of a track's tags, and of a segment's: 0.5 means as likely as in music at large. */
const TRACK_THRESHOLD = 0.2
const SEGMENT_THRESHOLD = 0.5

export const analyseMusic = defineProcessor({
  name: 'analyse-music',
  from: [uploadsReceived],
  to: [musicTagged, musicFeatures],
  delivery: 'exactly-once',
  maxRecords: 1,
  async handle(record, deps: AnalyseMusicDeps, { signal }) {
    const { key: trackId } = record
    if (record.value.receivedAt <= ((await deps.takenDownAt(trackId)) ?? -1)) return []
    const { mediaStore, musicEncoder, hearing, now } = deps
    const source = record.value.kind === 'track' ? 'track' : 'soundtrack'
    const path = await mediaStore.path(record.value.media.uri)
    if (source === 'soundtrack' && (await deps.decoder.probe(path, signal)).audio === undefined) return []
    const listened = await listen(path, deps, signal)
    if (listened.descriptors.silent) {
      if (source === 'soundtrack') return []
      throw new InvalidRecordError('media-silent', `Track ${trackId} is silent: nothing in it is louder than -70 LUFS`)
    }
    const { descriptors } = listened
    const heard = hearMusic({ ...listened, hearing })
    const encoder = musicFeatureEncoder(musicEncoder, hearing)
    const tagged = {
      trackId,
      source,
      tags: confidentTags(hearing, heard.track, TRACK_THRESHOLD),
      segments: descriptors.segments.slice(0, heard.features.segments).map(({ startSeconds, seconds }, segment) => ({
        startSeconds,
        seconds,
        tags: confidentTags(
          hearing,
          heard.segments.subarray(segment * hearing.tags.length, (segment + 1) * hearing.tags.length),
          SEGMENT_THRESHOLD,
        ),
      })),
      tempo: { bpm: descriptors.tempo.bpm, confidence: descriptors.tempo.confidence },
      key: { tonic: descriptors.key.tonic, mode: descriptors.key.mode, confidence: descriptors.key.confidence },
      loudnessLufs: descriptors.loudness.integratedLufs,
      durationSeconds: descriptors.seconds,
      tagger: encoder,
      taggedAt: now(),
      thresholds: hearing.thresholds,
    } as const
    const features = {
      trackId,
      source,
      segments: heard.features.segments,
      dims: heard.features.dims,
      values: Buffer.from(packFloats(heard.features.values)),
      segmentSeconds: SEGMENT_SECONDS,
      durationSeconds: descriptors.seconds,
      encoder,
      computedAt: now(),
    } as const
    const options = { headers: receiptStamp(record.value.receivedAt) }
    return [musicTagged.record(trackId, tagged, options), musicFeatures.record(trackId, features, options)]
  },
  async handleTombstone({ key, headers }) {
    const options = { headers: uploadStamp(headers) }
    return [musicTagged.record(key, null, options), musicFeatures.record(key, null, options)]
  },
})

/** One pass: descriptors of the DSP, and means of embeddings and labels by segment. */
export async function listen(
  path: string,
  { decoder, musicEncoder }: Pick<AnalyseMusicDeps, 'decoder' | 'musicEncoder'>,
  signal: AbortSignal,
) {
  const { patchSamples, dims, labels } = musicEncoder
  const dsp = new MusicDsp({ segmentSeconds: SEGMENT_SECONDS })
  const embeddings = new SegmentMeans(dims)
  const confidences = new SegmentMeans(labels.length)
  const chunks = decoder.samples(path, { sampleRateHz: SAMPLE_RATE_HZ, samplesPerChunk: SAMPLE_RATE_HZ, signal })
  const heard = tap(chunks, (chunk) => dsp.push(chunk))
  for await (const { pcm, count, startSeconds } of patches(heard, patchSamples, PATCHES_PER_BATCH, SAMPLE_RATE_HZ)) {
    const encoded = await musicEncoder.encode(pcm, count) // (count, patchSamples) → (count, d), (count, labels)
    for (let i = 0; i < count; i++) {
      const middle = startSeconds + ((i + 0.5) * patchSamples) / SAMPLE_RATE_HZ
      embeddings.add(middle, encoded.embeddings.subarray(i * dims, (i + 1) * dims))
      confidences.add(middle, encoded.tags.subarray(i * labels.length, (i + 1) * labels.length))
    }
  }
  return { descriptors: dsp.finish(), embeddings: embeddings.finish(), labels: confidences.finish() }
}

async function* tap<T>(items: AsyncIterable<T>, look: (item: T) => void): AsyncGenerator<T> {
  for await (const item of items) {
    look(item)
    yield item
  }
}
