import type { Product } from '../../cli/open-product.ts'
import { until } from './until.ts'

/** Until no stage has anything left to do. */
export async function untilQuiet({ health }: Pick<Product, 'health'>, withinMs?: number): Promise<void> {
  await until(
    'all stages are done',
    async () => (await health.stages()).every(({ lagRecords, inFlight }) => lagRecords === 0 && inFlight === 0),
    withinMs,
  )
}
