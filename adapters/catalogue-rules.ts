/** What every Catalogue checks and how it keeps what is not text, whatever the store behind it. */
import type { UploadFailure, UploadStatus, VideoFeatures } from '../ports/catalogue.ts'
import { InvalidRecordError, InvalidRequestError, ShapeError } from '../ports/errors.ts'

const MAX_ID_BYTES = 512

/** @throws InvalidRequestError 'bad-limit'; InvalidRecordError 'bad-id' */
export function checkPage({ after, limit }: { after?: string | undefined; limit: number }): void {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new InvalidRequestError('bad-limit', `A page of ${limit} items cannot be given; ask for 1 or more.`)
  }
  if (after !== undefined) checkId(after)
}

/** @param failures that stand; the latest of them shows. */
export function uploadStatus(
  upload: {
    readonly id: string
    readonly kind: UploadStatus['kind']
    readonly title: string | undefined
    readonly stages: UploadStatus['stages']
  },
  failures: readonly UploadFailure[],
): UploadStatus {
  const { id, kind, title, stages } = upload
  const failure = failures.reduce<UploadFailure | undefined>((a, b) => (a && a.at >= b.at ? a : b), undefined)
  return { id, kind, ...(title !== undefined && { title }), stages, ...(failure && { failure }), failures }
}

export function defined<T extends object>(section: T): T {
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== undefined)) as T
}

/** Header length as uint32, header as JSON, values as float32; all little endian. */
export function encodeFeatures(id: string, { values, ...header }: VideoFeatures): Buffer {
  if (values.length !== header.segments * header.dims) {
    const shape = `(${header.segments}, ${header.dims})`
    throw new ShapeError(`The features of video ${id} have ${values.length} values, which is not ${shape}.`)
  }
  const head = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(head.length)
  return Buffer.concat([length, head, Buffer.from(values.buffer, values.byteOffset, values.byteLength)])
}

export function decodeFeatures(bytes: Uint8Array): VideoFeatures {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = 4 + buffer.readUInt32LE()
  const header = JSON.parse(buffer.toString('utf8', 4, end)) as Omit<VideoFeatures, 'values'>
  const values = new Float32Array(header.segments * header.dims)
  new Uint8Array(values.buffer).set(buffer.subarray(end))
  return { ...header, values }
}

export function isId(id: string): boolean {
  return id.length > 0 && Buffer.byteLength(id) <= MAX_ID_BYTES
}

export function checkId(id: string): void {
  if (isId(id)) return
  throw new InvalidRecordError('bad-id', `An id needs 1 to ${MAX_ID_BYTES} bytes; got '${id.slice(0, 40)}'.`)
}
