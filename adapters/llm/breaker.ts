/**
 * Stops asking who fails: after `after` failures in a row nobody is admitted, but for one look at a time, the first after
 * `lookAgainMs`, then after twice as long each time, up to `longestMs`. A look that succeeds lets all in again.
 */
export interface BreakerOptions {
  readonly after: number
  readonly lookAgainMs: number
  readonly longestMs: number
  readonly now: () => number
  /** @param cause what opened it. */
  onChange(isOpen: boolean, cause?: Error): void
}

export class Breaker<Failure extends Error> {
  readonly #options: BreakerOptions
  #failures = 0
  #opened: { cause: Failure; until: number; delayMs: number } | undefined
  #looking = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** @returns what it is open for, where the caller is not admitted. Who is admitted tells what came of it. */
  refuses(): Failure | undefined {
    if (this.#opened === undefined) return undefined
    if (this.#looking || this.#options.now() < this.#opened.until) return this.#opened.cause
    this.#looking = true
    return undefined
  }

  succeeded(): void {
    const wasOpen = this.#opened !== undefined
    this.#failures = 0
    this.#opened = undefined
    this.#looking = false
    if (wasOpen) this.#options.onChange(false)
  }

  failed(cause: Failure): void {
    const { after, lookAgainMs, longestMs, now, onChange } = this.#options
    this.#failures++
    this.#looking = false
    if (this.#opened !== undefined) {
      const delayMs = Math.min(longestMs, 2 * this.#opened.delayMs)
      this.#opened = { cause, delayMs, until: now() + delayMs }
    } else if (this.#failures >= after) {
      this.#opened = { cause, delayMs: lookAgainMs, until: now() + lookAgainMs }
      onChange(true, cause)
    }
  }

  /** It ended without telling anything of the other side: given up, held back. */
  toldNothing(): void {
    this.#looking = false
  }
}
