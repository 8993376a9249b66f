/**
 * Which receipt of an upload a record stems from.
 *
 * An id may be received, taken down and received again, and its records reach a reader over several topics in any order.
 * So a value says when the upload that it stems from was received, and a tombstone which takedown it is for. Stages hand
 * these headers on to what they write.
 */
import type { Headers } from '../ports/broker.ts'
import type { UploadKind } from '../schemas/types.ts'

const RECEIVED_AT = 'upload-received-at'
const REMOVED_AT = 'upload-removed-at'
const KIND = 'upload-kind'

/** Of what is made from an upload. @param receivedAt Unix epoch, ms. */
export function receiptStamp(receivedAt: number): Headers {
  return { [RECEIVED_AT]: String(receivedAt) }
}

/** Of the tombstone that ends an upload. Times are Unix epoch, ms. */
export function takedownStamp(upload: { kind: UploadKind; receivedAt?: number; removedAt: number }): Headers {
  return {
    [KIND]: upload.kind,
    [REMOVED_AT]: String(upload.removedAt),
    ...(upload.receivedAt === undefined ? {} : receiptStamp(upload.receivedAt)),
  }
}

/** What of a record's headers goes on to the records that come of it. */
export function uploadStamp(headers: Headers): Headers {
  return Object.fromEntries([RECEIVED_AT, REMOVED_AT, KIND].flatMap((name) => pick(headers, name)))
}

export function receivedAtOf(headers: Headers): number | undefined {
  return timeOf(headers[RECEIVED_AT])
}

export function removedAtOf(headers: Headers): number | undefined {
  return timeOf(headers[REMOVED_AT])
}

export function kindOf(headers: Headers): string | undefined {
  return headers[KIND]
}

function pick(headers: Headers, name: string): [string, string][] {
  const value = headers[name]
  return value === undefined ? [] : [[name, value]]
}

function timeOf(header: string | undefined): number | undefined {
  const time = Number(header)
  return header !== undefined && Number.isSafeInteger(time) ? time : undefined
}
