/**
 * The long form of the chaos suite, for nights: `npm run chaos -- --scenario kill-processors --kills 100 --seed 7`.
 *
 * Without --scenario all are run, one after the other. Every report is added to <out>.jsonl, and its row to <out>.md.
 */
import { randomInt } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { summaryLine, TABLE_HEAD, tableRow } from './report.ts'
import { runScenario } from './run-scenario.ts'
import { scenarios } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    /** Faults, of each processor where each is struck; the scenario's own number if absent. */
    kills: { type: 'string' },
    seed: { type: 'string' },
    form: { type: 'string', default: 'long' },
    'session-ms': { type: 'string' },
    out: { type: 'string', default: 'data/chaos' },
  },
})
const wanted = scenarios.filter(({ name }) => values.scenario === undefined || name === values.scenario)
if (wanted.length === 0) {
  process.stderr.write(
    `There is no scenario ${values.scenario}; there are: ${scenarios.map(({ name }) => name).join(', ')}\n`,
  )
  process.exit(2)
}
mkdirSync(dirname(values.out), { recursive: true })
const say = (line: string) => void process.stdout.write(`${line}\n`)
for (const scenario of wanted) {
  const report = await runScenario(scenario, {
    form: values.form === 'short' ? 'short' : 'long',
    seed: values.seed ?? String(randomInt(1_000_000)),
    say,
    ...(values.kills === undefined ? {} : { faults: Number(values.kills) }),
    ...(values['session-ms'] === undefined ? {} : { sessionMs: Number(values['session-ms']) }),
  })
  say(summaryLine(report))
  for (const failure of report.failures) say(`  ${failure}`)
  for (const [what, count] of Object.entries({ ...report.crashes, ...report.errors })) say(`  ${count} × ${what}`)
  if (!existsSync(`${values.out}.md`)) appendFileSync(`${values.out}.md`, `${TABLE_HEAD}\n`)
  appendFileSync(`${values.out}.md`, `${tableRow(report)}\n`)
  appendFileSync(`${values.out}.jsonl`, `${JSON.stringify(report)}\n`)
  if (report.failures.length > 0) process.exitCode = 1
}
