/** Lets some work run at a time and some wait, in order, and refuses the rest. */
export interface Turns {
  readonly running: number
  readonly waiting: number
  /** How many run and wait at most. */
  readonly capacity: number
  /** How many more are taken now. */
  readonly room: number
  /** Waits for its turn. Call it only where there is room. Rejects with the reason of `signal` while it waits. */
  take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>
  /** What waits is rejected with `reason`. */
  refuse(reason: unknown): void
}

interface Waiting {
  readonly start: () => void
  readonly refuse: (reason: unknown) => void
}

export function openTurns(parallel: number, maxWaiting: number): Turns {
  const queue: Waiting[] = []
  let running = 0

  function leave(one: Waiting): void {
    const at = queue.indexOf(one)
    if (at >= 0) queue.splice(at, 1)
  }

  function turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (running < parallel) {
      running++
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const gaveUp = () => {
        leave(one)
        reject(signal.reason)
      }
      const done = () => signal.removeEventListener('abort', gaveUp)
      const one: Waiting = {
        start() {
          done()
          running++
          resolve()
        },
        refuse(reason) {
          done()
          reject(reason)
        },
      }
      signal.addEventListener('abort', gaveUp, { once: true })
      queue.push(one)
    })
  }

  return {
    capacity: parallel + maxWaiting,
    get running() {
      return running
    },
    get waiting() {
      return queue.length
    },
    get room() {
      return Math.max(0, parallel - running) + Math.max(0, maxWaiting - queue.length)
    },
    async take(work, signal) {
      await turn(signal)
      try {
        return await work()
      } finally {
        running--
        queue.shift()?.start()
      }
    },
    refuse(reason) {
      for (const one of queue.splice(0)) one.refuse(reason)
    },
  }
}
