/** Bounded exponential backoff with equal jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015). */
export interface RetryPolicy {
  /** Tries in all, the first one included; then the record goes to the dead letters. */
  readonly maxAttempts: number
  readonly baseMs: number
  readonly maxMs: number
}

export const defaultRetry: RetryPolicy = { maxAttempts: 6, baseMs: 200, maxMs: 30_000 }

/**
 * @param attempt the try that failed, from 1.
 * @param random uniform in [0, 1).
 * @returns ms to wait: between half of the exponential step and all of it, at least `retryAfterMs`, at most `maxMs`
 * (or `retryAfterMs` where the other side asked for more).
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: () => number, retryAfterMs = 0): number {
  const step = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 30))
  return Math.max(retryAfterMs, Math.round(step / 2 + (random() * step) / 2))
}
