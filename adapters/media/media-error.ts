import { InvalidRecordError } from '../../ports/errors.ts'

export type MediaErrorCode =
  | 'media-empty'
  | 'media-unreadable'
  | 'media-format'
  | 'media-no-video'
  | 'media-no-audio'
  | 'media-too-many-pixels'
  | 'media-too-long'
  | 'media-timeout'
  | 'media-too-large'

/** The message is for whoever uploaded the file: no paths, no decoder output (that is in `cause`). */
export class MediaError extends InvalidRecordError {
  declare readonly code: MediaErrorCode

  constructor(code: MediaErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options)
  }
}
