/** What the API says of tracks, videos and uploads: their schemas, and how documents of the catalogue become them. */
import { z } from 'zod'
import type { TrackDocument, UploadStatus, VideoDocument } from '../ports/catalogue.ts'

const nullableText = z.string().nullable()
const epochMs = z.number().describe('Unix epoch, ms.')

export const idSchema = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'is not an id')

export const pageQuerySchema = z.strictObject({
  after: z
    .string()
    .min(1)
    .max(512)
    .refine((id) => Buffer.byteLength(id) <= 512, 'is longer than any id')
    .optional()
    .describe('`next` of the page before.'),
  limit: z.coerce.number().int().min(1).max(100).default(50),
})

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: nullableText.describe('Pass as `after`; null on the last page.') })
}

export const tagSchema = z.object({
  category: z.string().describe('instrument, genre, mood or vocals.'),
  tag: z.string(),
  confidence: z.number().describe('0 … 1.'),
})

export const trackSchema = z
  .object({
    id: z.string(),
    title: nullableText,
    artist: nullableText,
    licence: nullableText,
    territories: z.array(z.string()).describe('Empty means worldwide.'),
    explicit: z.boolean(),
    durationSeconds: z.number().nullable(),
    tempo: z.object({ bpm: z.number(), confidence: z.number() }).nullable(),
    key: z.object({ tonic: z.string(), mode: z.enum(['major', 'minor']), confidence: z.number() }).nullable(),
    loudnessLufs: z.number().nullable(),
    tags: z.array(tagSchema).describe('Of the whole track, highest confidence first; empty until it is analysed.'),
    description: z.object({ text: z.string(), method: z.string(), generator: z.string() }).nullable(),
    mediaUrl: z.string(),
  })
  .meta({ id: 'Track' })

export function trackOf({ id, upload, tagged, described }: TrackDocument): z.infer<typeof trackSchema> {
  return {
    id,
    title: upload?.title ?? null,
    artist: upload?.artist ?? null,
    licence: upload?.rights.licence ?? null,
    territories: [...(upload?.rights.territories ?? [])],
    explicit: upload?.rights.explicit ?? false,
    durationSeconds: tagged?.durationSeconds ?? null,
    tempo: tagged ? { bpm: tagged.tempo.bpm, confidence: tagged.tempo.confidence } : null,
    key: tagged ? { tonic: tagged.key.tonic, mode: tagged.key.mode, confidence: tagged.key.confidence } : null,
    loudnessLufs: tagged?.loudnessLufs ?? null,
    tags: (tagged?.tags ?? []).map(({ category, tag, confidence }) => ({ category, tag, confidence })),
    description: described ? { text: described.text, method: described.method, generator: described.generator } : null,
    mediaUrl: `/v1/tracks/${encodeURIComponent(id)}/media`,
  }
}

export const videoSchema = z
  .object({
    id: z.string(),
    title: nullableText,
    owner: nullableText,
    state: z.enum(['analysing', 'ready', 'failed']).describe('A ready video can be asked with.'),
    mediaUrl: z.string(),
  })
  .meta({ id: 'Video' })

export function videoOf(
  { id, upload }: Omit<VideoDocument, 'features'>,
  status: UploadStatus | undefined,
): z.infer<typeof videoSchema> {
  return {
    id,
    title: upload?.title ?? status?.title ?? null,
    owner: upload?.owner ?? null,
    state: status === undefined ? 'ready' : stateOf(status),
    mediaUrl: `/v1/videos/${encodeURIComponent(id)}/media`,
  }
}

export const uploadSchema = z
  .object({
    id: z.string(),
    kind: z.enum(['track', 'video']),
    title: nullableText,
    state: z.enum(['analysing', 'ready', 'failed']),
    stages: z.record(z.string(), epochMs).describe('When each stage was done.'),
    failure: z
      .object({ stage: z.string(), code: z.string(), message: z.string(), at: epochMs })
      .nullable()
      .describe('What stopped it; null once the stage has been done after all.'),
  })
  .meta({ id: 'Upload' })

export function uploadOf(status: UploadStatus): z.infer<typeof uploadSchema> {
  return {
    id: status.id,
    kind: status.kind,
    title: status.title ?? null,
    state: stateOf(status),
    stages: { ...status.stages },
    failure: status.failure ? { ...status.failure } : null,
  }
}

/** The stage after which an upload can be recommended, or asked with. */
const LAST_STAGE = { track: 'index-embeddings', video: 'analyse-video' } as const

export function stateOf({ kind, stages, failure }: UploadStatus): 'analysing' | 'ready' | 'failed' {
  if (stages[LAST_STAGE[kind]] !== undefined) return 'ready'
  return failure ? 'failed' : 'analysing'
}
