/**
 * Catalogue: what is known of each upload, track and video, and which release serves.
 *
 * A document is written section by section ([sections]: writing one never loses another, whatever the order), so that
 * stages can project their topics independently and at least once.
 */
import type { MusicDescribed, MusicTagged, UploadReceived } from '../schemas/types.ts'

/** Feature sequence of a video, ready for the query tower. */
export interface VideoFeatures {
  readonly encoderId: string
  /** (segments, dims) row-major. */
  readonly values: Float32Array
  readonly segments: number
  readonly dims: number
  readonly segmentSeconds: number
  readonly durationSeconds: number
}

export interface TrackDocument {
  readonly id: string
  readonly upload?: UploadReceived
  readonly tagged?: MusicTagged
  readonly described?: MusicDescribed
}

export interface VideoDocument {
  readonly id: string
  readonly upload?: UploadReceived
  readonly features?: VideoFeatures
}

export interface UploadFailure {
  readonly stage: string
  readonly code: string
  readonly message: string
  /** Unix epoch, ms. */
  readonly at: number
}

export interface UploadStatus {
  readonly id: string
  readonly kind: 'track' | 'video'
  readonly title?: string
  /** Unix epoch ms at which each stage was done, by stage. */
  readonly stages: Readonly<Record<string, number>>
  readonly failure?: UploadFailure
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string
}

export interface Catalogue {
  putTrack(id: string, section: Omit<TrackDocument, 'id'>): Promise<void>
  track(id: string): Promise<TrackDocument | undefined>
  tracks(ids: readonly string[]): Promise<ReadonlyMap<string, TrackDocument>>
  listTracks(options: { after?: string; limit: number }): Promise<Page<TrackDocument>>
  removeTrack(id: string): Promise<void>

  putVideo(id: string, section: Omit<VideoDocument, 'id'>): Promise<void>
  video(id: string): Promise<VideoDocument | undefined>
  /** Documents without their feature values. */
  listVideos(options: { after?: string; limit: number }): Promise<Page<Omit<VideoDocument, 'features'>>>
  removeVideo(id: string): Promise<void>

  /** Creates the upload if it is not there; the first time of a stage is kept. A stage that is done clears its failure. */
  recordStage(upload: { id: string; kind: 'track' | 'video'; title?: string }, stage: string, at: number): Promise<void>
  recordFailure(upload: { id: string; kind?: 'track' | 'video' }, failure: UploadFailure): Promise<void>
  upload(id: string): Promise<UploadStatus | undefined>
  listUploads(options: { after?: string; limit: number }): Promise<Page<UploadStatus>>
  removeUpload(id: string): Promise<void>

  currentRelease(): Promise<string | undefined>
  setCurrentRelease(release: string): Promise<void>
  counts(): Promise<{ tracks: number; videos: number; uploads: number; failed: number }>
  close(): Promise<void>
}
