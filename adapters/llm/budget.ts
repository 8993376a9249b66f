/** What may be spent in a period, and what a request costs. Amounts in the store are whole millionths of a US dollar. */
import { type GenerationStore, GeneratorError } from '../../ports/text-generator.ts'

export interface Tokens {
  readonly inputTokens: number
  readonly outputTokens: number
}

export interface Reservation {
  /** US dollars set aside. */
  readonly usd: number
  /** @returns US dollars spent. More than was set aside only where the endpoint wrote more tokens than it was allowed. */
  settle(used: Tokens): Promise<number>
}

export interface Budget {
  /** @throws GeneratorError 'llm-budget' */
  reserve(worst: Tokens): Promise<Reservation>
}

export interface BudgetOptions {
  readonly store: Pick<GenerationStore, 'reserve' | 'settle'>
  /** US dollars a period; no cap if absent. */
  readonly capUsd?: number | undefined
  readonly period: 'day' | 'month' | 'ever'
  readonly usdPerMillionInput: number
  readonly usdPerMillionOutput: number
  /** Nobody knows when there is room again: it is looked at so often. A minute if absent. */
  readonly lookAgainMs?: number
  readonly now: () => number
}

const LOOK_AGAIN_MS = 60_000

export function openBudget(options: BudgetOptions): Budget {
  const { store, now } = options
  // US dollars a million tokens are millionths of a dollar a token.
  const cost = ({ inputTokens, outputTokens }: Tokens) =>
    Math.ceil(inputTokens * options.usdPerMillionInput + outputTokens * options.usdPerMillionOutput)
  const cap = options.capUsd === undefined ? Number.MAX_SAFE_INTEGER : Math.floor(options.capUsd * 1_000_000)
  return {
    async reserve(worst) {
      const period = periodOf(options.period, now())
      const reserved = cost(worst)
      if (!(await store.reserve(period, reserved, cap))) {
        const message = `The budget of ${options.capUsd} US dollars (${options.period}) leaves no room for another description`
        throw new GeneratorError('llm-budget', message, { retryAfterMs: options.lookAgainMs ?? LOOK_AGAIN_MS })
      }
      return {
        usd: reserved / 1_000_000,
        async settle(used) {
          const spent = cost(used)
          await store.settle(period, reserved, spent)
          return spent / 1_000_000
        },
      }
    },
  }
}

/** UTC. */
export function periodOf(period: BudgetOptions['period'], at: number): string {
  const day = new Date(at).toISOString().slice(0, 10)
  return { day, month: day.slice(0, 7), ever: 'ever' }[period]
}
