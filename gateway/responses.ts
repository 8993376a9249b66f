/** Error answers for a route's response schemas. */
import type { z } from 'zod'
import { problemSchema } from './problem.ts'

type ProblemResponse = { readonly content: { readonly 'application/problem+json': { readonly schema: z.ZodType } } }

const response: ProblemResponse = { content: { 'application/problem+json': { schema: problemSchema } } }

export function problems<const Status extends number>(...statuses: Status[]): Record<Status, ProblemResponse> {
  return Object.fromEntries(statuses.map((status) => [status, response])) as Record<Status, ProblemResponse>
}
