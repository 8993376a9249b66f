/** A page's end as an opaque word, bound to its release: pages of two releases never mix, and a page is of the release before it. */
import { InvalidRequestError } from '../../ports/errors.ts'

/**
 * Pages deeper than this are refused: nobody reads them, and each costs a search of its depth. With the longest page, and
 * one more to know whether another follows, it stays below the 10,000 rows that a search in Redis gives.
 */
export const MAX_OFFSET = 9_800

/** @returns null past the deepest page. */
export function encodeCursor(release: string, offset: number): string | null {
  if (offset > MAX_OFFSET) return null
  return Buffer.from(`${release}\n${offset}`).toString('base64url')
}

/** @returns the release that gave the cursor, and where the next page begins. @throws InvalidRequestError 'bad-cursor' */
export function decodeCursor(cursor: string): { readonly release: string; readonly offset: number } {
  const [release = '', text] = Buffer.from(cursor, 'base64url').toString('utf8').split('\n')
  const offset = Number(text)
  if (!Number.isInteger(offset) || offset < 1 || offset > MAX_OFFSET) {
    throw new InvalidRequestError('bad-cursor', 'The cursor is not one that this service gave; ask without it')
  }
  return { release, offset }
}
