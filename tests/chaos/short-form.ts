/** Runs a scenario in the form of every CI run: a random seed that is printed, or CHAOS_SEED. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { summaryLine } from './report.ts'
import { runScenario, type Scenario } from './run-scenario.ts'

export function testShortForm(scenario: Scenario): void {
  test(scenario.shows, { timeout: 8 * 60_000 }, async (context) => {
    const seed = process.env.CHAOS_SEED ?? String(randomInt(1_000_000))
    context.diagnostic(`CHAOS_SEED=${seed}`)
    const lines: string[] = []
    const report = await runScenario(scenario, { form: 'short', seed, say: (line) => lines.push(line) }).catch(
      (cause) => {
        throw new Error(`With CHAOS_SEED=${seed} the run broke off:\n${lines.join('\n')}`, { cause })
      },
    )
    context.diagnostic(summaryLine(report))
    assert.deepEqual(report.failures, [], `${lines.join('\n')}\n${JSON.stringify(report, null, 2)}`)
  })
}
