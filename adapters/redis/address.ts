/** Where a Redis is, by its URL, and when a lost connection is tried again. */
import { SetupError } from '../../ports/errors.ts'

const BACKOFF_BASE_MS = 50
const BACKOFF_MAX_MS = 2_000

/** @param attempt from 1. */
export function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(BACKOFF_BASE_MS * 2 ** Math.min(attempt - 1, 10), BACKOFF_MAX_MS)
  return delayMs / 2 + Math.random() * (delayMs / 2)
}

/** @throws SetupError 'bad-redis-url' */
export function readUrl(text: string) {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const db = Number(url?.pathname.slice(1) || 0)
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || !url.hostname || !Number.isInteger(db)) {
    throw badUrl('')
  }
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 6379),
    db,
    username: decoded(url.username) || undefined,
    password: decoded(url.password) || undefined,
    secure: url.protocol === 'rediss:',
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw badUrl(' A % in the user or the password is written %25.')
  }
}

/** The text itself is not repeated, nor in a cause: it may hold a password. */
function badUrl(hint: string): SetupError {
  const message = `The address of Redis must look like redis://host:6379 or rediss://host:6379/0.${hint}`
  return new SetupError('bad-redis-url', message)
}

export function definedOnly<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
