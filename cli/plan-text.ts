/** A plan of the topics as lines for people, one a change. */
import type { WantedTopic } from '../ports/topic-admin.ts'
import { type Change, type Plan, risks } from '../topics/plan.ts'
import { table } from './terminal.ts'

/** What there is to do, what is refused and how to have it all the same; the last line counts. */
export function planText({ changes, foreign }: Plan): string {
  const lines: string[] = []
  if (changes.length > 0) lines.push(table(changes.map((change) => [signOf(change), change.topic, textOf(change)])), '')
  if (foreign.length > 0) {
    lines.push(`Not defined here, and left alone: ${foreign.join(', ')}`, '')
  }
  lines.push(changes.length === 0 ? 'The topics are as they should be.' : counts(changes))
  return lines.join('\n')
}

function signOf(change: Change): string {
  if (change.verdict === 'refused') return '! refused'
  if (change.verdict === 'impossible') return 'x impossible'
  return change.what === 'create' ? '+ create' : '~ change'
}

function textOf(change: Change): string {
  const what = differenceOf(change)
  if (change.verdict === 'impossible') return `${what}: ${change.why}`
  if (change.verdict === 'safe') return what
  return `${what}: ${risks[change.risk]}. If that is meant: topics apply --allow ${change.risk}`
}

function differenceOf(change: Change): string {
  if (change.what === 'create') return settingsOf(change.as)
  if (change.what !== 'config') return `${change.what} ${change.from} → ${change.to}`
  const { key, from, to } = change
  return `${key} ${from === undefined ? '(none)' : readable(key, from)} → ${readable(key, to)}`
}

function settingsOf({ partitions, replicationFactor, config }: WantedTopic): string {
  const settings = Object.entries(config).map(([key, value]) => `${key}=${readable(key, value)}`)
  const replicas = replicationFactor === 'default' ? "the cluster's number of replicas" : replicationFactor
  return [`${partitions} partitions × ${replicas}`, ...settings].join(', ')
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** Times in the largest unit that divides them. */
function readable(key: string, value: string): string {
  if (!key.endsWith('.ms')) return value
  const ms = Number(value)
  if (ms === -1) return 'without limit'
  const unit = UNITS.find(([, length]) => ms > 0 && ms % length === 0)
  return unit === undefined ? `${value} ms` : `${ms / unit[1]} ${unit[0]}`
}

function counts(changes: readonly Change[]): string {
  const count = (is: (change: Change) => boolean) => changes.filter(is).length
  const created = count(({ what }) => what === 'create')
  const parts = [
    `${created} to create`,
    `${count(({ verdict }) => verdict === 'safe') - created} to change`,
    `${count(({ verdict }) => verdict === 'refused')} refused`,
    `${count(({ verdict }) => verdict === 'impossible')} impossible`,
  ]
  return `Plan: ${parts.join(', ')}.`
}
