/** Error answers for a route's response schemas. */
import type { z } from 'zod'
import { problemSchema } from './problem.ts'

type ProblemResponse = { readonly content: { readonly 'application/problem+json': { readonly schema: z.ZodType } } }

const response: ProblemResponse = { content: { 'application/problem+json': { schema: problemSchema } } }

/** Of the statuses, and those that any route may answer: refused by a guard, and failed. */
export function problems<const Status extends number>(
  ...statuses: Status[]
): Record<Status | 403 | 500, ProblemResponse> {
  return Object.fromEntries([...statuses, 403, 500].map((status) => [status, response])) as ReturnType<
    typeof problems<Status>
  >
}
