/**
 * Catalogue: what is known of each upload, track and video, and which releases are in use.
 *
 * A document is written section by section ([sections]: writing one never loses another, whatever the order), so that
 * stages can project their topics independently and at least once. Removals are idempotent; pages are in a fixed order
 * of ids. @throws InvalidRecordError 'bad-id' for an id of no or more than 512 bytes, InvalidRequestError 'bad-limit'.
 *
 * [generation] A handle that has asked for the generation projects topics into it: what it writes of tracks, videos and
 * uploads throws SetupError 'generation-ended' once that one has ended, until it asks again. Such a write may have
 * happened all the same. A handle that never asked writes to whatever is there.
 */
import type { MusicDescribed, MusicTagged, UploadReceived } from '../schemas/types.ts'
import type { ReleasePlan } from './release-plan.ts'

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
  /** Of the same words as `recordStage`: a success of this very stage is what clears the failure. */
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
  /** Unix epoch ms at which each stage was first done, by stage. */
  readonly stages: Readonly<Record<string, number>>
  /** The latest of the failures that stand. */
  readonly failure?: UploadFailure
  /** All of them, one a stage: pictures and sound of a broken video fail apart. */
  readonly failures: readonly UploadFailure[]
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string
}

export interface Catalogue {
  /** Another one after the store was wiped: whoever fills it then reads its topics from the start. '' where that cannot be. */
  generation(): Promise<string>
  /** Another handle on the same store, for whoever projects beside others; it goes with the one that it was made by. */
  handle(): Catalogue

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

  /**
   * Creates the upload if it is not there; of a stage the earliest time is kept. `at` is when the stage was done, not
   * when its input was made. [failures] A failure of a stage stands until the same stage is done at its time or later
   * (a redriven dead letter that succeeds), whatever the order in which the two are recorded, and however often.
   * Another stage's success leaves it. A failed upload whose kind is not known yet shows once its kind is.
   */
  recordStage(upload: { id: string; kind: 'track' | 'video'; title?: string }, stage: string, at: number): Promise<void>
  recordFailure(upload: { id: string; kind?: 'track' | 'video' }, failure: UploadFailure): Promise<void>
  upload(id: string): Promise<UploadStatus | undefined>
  listUploads(options: { after?: string; limit: number }): Promise<Page<UploadStatus>>
  removeUpload(id: string): Promise<void>

  /**
   * Notes that what was received of the upload up to `at` (Unix epoch, ms) is void; of several notes the latest counts.
   * It outlives the upload: it is how a record that comes late is told from one of a second upload, which was received
   * after it.
   */
  recordTakedown(id: string, at: number): Promise<void>
  takenDownAt(id: string): Promise<number | undefined>

  /** undefined where none was written yet, or the store was wiped. */
  releasePlan(): Promise<ReleasePlan | undefined>
  /**
   * Writes the plan in one step, if the one that stands is of the revision `expected` (0: none stands), so that of changes
   * at the same time one is made and the others are told. @returns whether it was written.
   */
  replaceReleasePlan(expected: number, next: ReleasePlan): Promise<boolean>
  /** Whether that generation of the index has been filled once from its topics. */
  isFilled(generation: string): Promise<boolean>
  markFilled(generation: string): Promise<void>
  /** `failed`: uploads with a failure that stands. */
  counts(): Promise<{ tracks: number; videos: number; uploads: number; failed: number }>
  close(): Promise<void>
}
