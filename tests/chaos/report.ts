/** What a run saw, as one line for people and one object for files. */
import type { Exit, Fleet, RssSample } from '../support/fleet.ts'
import type { Verdict } from '../support/membership.ts'
import type { Request } from '../support/upload-load.ts'

export interface Recovery {
  readonly stage: string
  readonly ms: number
}

export interface Seen {
  readonly scenario: string
  readonly form: 'short' | 'long'
  readonly seed: string
  readonly rung: string
  readonly seconds: number
  readonly faults: number
  /** performance.now() of the first and the last fault. */
  readonly faultsFromMs: number
  readonly faultsToMs: number
  readonly sessionMs: number
  readonly recoveries: readonly Recovery[]
  readonly figures: Readonly<Record<string, number | string>>
  /** What the scenario itself found wrong. */
  readonly wrong: readonly string[]
  readonly acknowledged: number
  readonly refusals: ReadonlyMap<string, number>
  readonly slowestUploadMs: number
  readonly verdict: Verdict
  readonly fleet: Pick<Fleet, 'exits' | 'rss'>
  readonly requests: readonly Request[]
  readonly deadlineMs: number
  /** By slot, at the orderly end. */
  readonly exitCodes: ReadonlyMap<string, number | string>
  /** What the processes logged at error and above, or printed as they died, with how often. */
  readonly errors: Readonly<Record<string, number>>
}

export interface Report {
  readonly scenario: string
  readonly form: string
  readonly seed: string
  readonly rung: string
  readonly seconds: number
  readonly faults: number
  readonly acknowledged: number
  readonly tracks: number
  readonly videos: number
  readonly triplets: number
  readonly poison: number
  readonly lost: number
  readonly duplicated: number
  readonly skipped: number
  readonly wrongLetters: number
  readonly undecided: number
  readonly tripletsAgain: number
  readonly recovery: {
    readonly count: number
    readonly p50Ms: number
    readonly p95Ms: number
    readonly maxMs: number
    readonly limitMs: number
    readonly late: number
  }
  readonly rss: Rss
  readonly requests: Requests
  readonly slowestUploadMs: number
  readonly refusals: Readonly<Record<string, number>>
  /** Processes that ended by themselves, by slot and code. */
  readonly crashes: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  readonly figures: Readonly<Record<string, number | string>>
  /** What must not be, in words; the first of each kind. */
  readonly failures: readonly string[]
}

interface Rss {
  readonly maxMegabytes: number
  /** The largest growth of any process, or of the processes of one slot from the first half of the run to the second. */
  readonly ratio: number
  readonly of: string
}

interface Requests {
  readonly asked: number
  readonly answered: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Before the first fault. */
  readonly calmP99Ms: number
  /** Settled later than a second after their deadline. */
  readonly late: number
  readonly refused: Readonly<Record<string, number>>
}

/** A recovery may take the session timeout, in which nobody knows of the death, and this. */
const RECOVERY_SLACK_MS = 5_000
const LATE_MS = 1_000
const FINDINGS_SHOWN = 12

export function reportOf(seen: Seen): Report {
  const { verdict, recoveries, sessionMs } = seen
  const limitMs = sessionMs + RECOVERY_SLACK_MS
  const times = recoveries.map(({ ms }) => ms)
  const findings = (['lost', 'duplicated', 'skipped', 'wrongLetters'] as const).flatMap((kind) => {
    const all = verdict[kind]
    const more = all.length > FINDINGS_SHOWN ? [`${kind}: … and ${all.length - FINDINGS_SHOWN} more`] : []
    return [...all.slice(0, FINDINGS_SHOWN).map((finding) => `${kind}: ${finding}`), ...more]
  })
  const badExits = [...seen.exitCodes].filter(([, code]) => code !== 0)
  return {
    scenario: seen.scenario,
    form: seen.form,
    seed: seen.seed,
    rung: seen.rung,
    seconds: Math.round(seen.seconds),
    faults: seen.faults,
    acknowledged: seen.acknowledged,
    tracks: verdict.tracks,
    videos: verdict.videos,
    triplets: verdict.triplets,
    poison: verdict.poison,
    lost: verdict.lost.length,
    duplicated: verdict.duplicated.length,
    skipped: verdict.skipped.length,
    wrongLetters: verdict.wrongLetters.length,
    undecided: verdict.undecided,
    tripletsAgain: verdict.tripletsAgain,
    recovery: {
      count: times.length,
      p50Ms: quantile(times, 0.5),
      p95Ms: quantile(times, 0.95),
      maxMs: quantile(times, 1),
      limitMs,
      late: times.filter((ms) => ms > limitMs).length,
    },
    rss: rssOf(seen.fleet.rss),
    requests: requestsOf(seen),
    slowestUploadMs: Math.round(seen.slowestUploadMs),
    refusals: Object.fromEntries(seen.refusals),
    crashes: crashesOf(seen.fleet.exits),
    errors: seen.errors,
    figures: seen.figures,
    failures: [
      ...findings,
      ...seen.wrong,
      ...badExits.map(([slot, code]) => `${slot} ended with ${code} when it was asked to stop`),
    ],
  }
}

/** One line: what a reader asks first. */
export function summaryLine(report: Report): string {
  const { recovery, rss, requests } = report
  const seconds = (ms: number) => (ms / 1_000).toFixed(1)
  return [
    `${report.scenario} (${report.form}, seed ${report.seed}, ${report.rung})`,
    `${report.faults} faults in ${report.seconds} s`,
    `${report.acknowledged} requests acknowledged, ${report.tracks} tracks, ${report.videos} videos, ${report.poison} poison`,
    `${report.lost} lost, ${report.duplicated} duplicated, ${report.skipped} skipped, ${report.wrongLetters} wrong letters`,
    recovery.count === 0
      ? 'no recovery measured'
      : `recovery p50 ${seconds(recovery.p50Ms)} p95 ${seconds(recovery.p95Ms)} max ${seconds(recovery.maxMs)} s of ${seconds(recovery.limitMs)}`,
    `RSS × ${rss.ratio.toFixed(2)} (${rss.of}), at most ${rss.maxMegabytes} MB`,
    `${requests.answered} of ${requests.asked} answers, p99 ${requests.p99Ms} ms`,
    ...Object.entries(report.figures).map(([name, value]) => `${name} ${value}`),
  ].join(' · ')
}

export const TABLE_HEAD = [
  '| scenario | seed | faults | s | acknowledged | tracks / videos / poison | lost | duplicated | skipped | recovery p50 / p95 / max, s (limit) | RSS × | answers p99, ms |',
  '|---|---|---|---|---|---|---|---|---|---|---|---|',
].join('\n')

export function tableRow(report: Report): string {
  const { recovery, rss, requests } = report
  const seconds = (ms: number) => (ms / 1_000).toFixed(1)
  const recovered =
    recovery.count === 0
      ? ''
      : `${seconds(recovery.p50Ms)} / ${seconds(recovery.p95Ms)} / ${seconds(recovery.maxMs)} (${seconds(recovery.limitMs)})`
  const cells = [
    report.scenario,
    report.seed,
    report.faults,
    report.seconds,
    report.acknowledged,
    `${report.tracks} / ${report.videos} / ${report.poison}`,
    report.lost,
    report.duplicated,
    report.skipped,
    recovered,
    rss.ratio.toFixed(2),
    requests.p99Ms,
  ]
  return `| ${cells.join(' | ')} |`
}

function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return 0
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? sorted[0]!)
}

/** A process grows while it warms up. */
const WARM_MS = 30_000
/** Successors are compared by what they take between these ages. */
const YOUNG_MS = [3_000, 10_000] as const
/** Samples at either end that a growth is told from. */
const ENDS = 8

/** Long-lived processes by their own growth; those that are killed by what their successors take at the same age. */
function rssOf(samples: readonly RssSample[]): Rss {
  let worst = { ratio: 1, of: 'no process lived long enough' }
  const grown = (of: string, before: readonly RssSample[], after: readonly RssSample[]) => {
    if (before.length < ENDS || after.length < ENDS) return
    const median = (some: readonly RssSample[]) =>
      quantile(
        some.map(({ bytes }) => bytes),
        0.5,
      )
    const ratio = median(after) / median(before)
    if (worst.of.startsWith('no process') || ratio > worst.ratio) worst = { ratio, of }
  }
  for (const [, all] of groups(samples, ({ pid }) => String(pid))) {
    const warm = all.filter(({ ageMs }) => ageMs > WARM_MS)
    if (warm.length >= 3 * ENDS) grown(warm[0]!.slot, warm.slice(0, ENDS), warm.slice(-ENDS))
  }
  for (const [slot, all] of groups(samples, ({ slot }) => slot)) {
    if (new Set(all.map(({ pid }) => pid)).size < 4) continue
    const young = all.filter(({ ageMs }) => ageMs > YOUNG_MS[0] && ageMs <= YOUNG_MS[1])
    const half = Math.floor(young.length / 2)
    grown(`successors of ${slot}`, young.slice(0, half), young.slice(half))
  }
  const maxMegabytes = Math.round(Math.max(0, ...samples.map(({ bytes }) => bytes)) / 1e6)
  return { ...worst, maxMegabytes }
}

function groups<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const grouped = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = grouped.get(key)
    if (group === undefined) grouped.set(key, [item])
    else group.push(item)
  }
  return grouped
}

function requestsOf({ requests, faultsFromMs, deadlineMs }: Seen): Requests {
  const answered = requests.filter(({ status }) => status === 200)
  const times = (some: readonly Request[]) => some.map(({ ms }) => ms)
  const refused: Record<string, number> = {}
  for (const { status, code } of requests) {
    if (status !== 200) refused[`${status} ${code}`] = (refused[`${status} ${code}`] ?? 0) + 1
  }
  return {
    asked: requests.length,
    answered: answered.length,
    p50Ms: quantile(times(answered), 0.5),
    p99Ms: quantile(times(answered), 0.99),
    calmP99Ms: quantile(times(answered.filter(({ atMs }) => atMs < faultsFromMs)), 0.99),
    late: requests.filter(({ ms, status }) => status !== 0 && ms > deadlineMs + LATE_MS).length,
    refused,
  }
}

function crashesOf(exits: readonly Exit[]): Record<string, number> {
  const crashes: Record<string, number> = {}
  for (const { slot, by, asked } of exits) {
    if (!asked) crashes[`${slot} ${by}`] = (crashes[`${slot} ${by}`] ?? 0) + 1
  }
  return crashes
}
