import { existsSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { ApiClient, RecommendationView } from '../api-client.ts'
import type { OpenContext } from '../context.ts'
import { ingest } from '../ingest.ts'
import { withService } from '../service.ts'
import { say, table } from '../terminal.ts'

interface Flags {
  text?: string
  exclude?: string
  like?: string
  filter?: string[]
  limit: number
  json?: boolean
}

export const recommendCommand = (open: OpenContext) =>
  new Command('recommend')
    .description('rank the catalogue for a video, for words, or both')
    .argument('[video]', 'a video file, or the id of an uploaded video')
    .option('--text <words>', 'the music that is wanted, in words')
    .option('--exclude <words>', 'what it should not be like')
    .option('--like <track>', 'id of a track to be near to')
    .option(
      '--filter <field=value>',
      'genre=rock,folk  mood!=sad  bpm=90..120  key=C  explicit=no (repeatable)',
      collect,
    )
    .option('--limit <n>', 'how many', count, 10)
    .option('--json', 'the answer as JSON')
    .action(async (video: string | undefined, flags: Flags) => {
      const { config, logger } = open({ logLevel: 'warn' })
      if (!video && !flags.text && !flags.like) {
        throw new InvalidRequestError('nothing-asked', 'Give a video, words (--text) or a track to be near to (--like)')
      }
      const filters = parseFilters(flags.filter ?? [])
      await withService(config, logger, async (api) => {
        const { text, exclude: excludeText, like: likeTrack, limit } = flags
        const id = video === undefined ? undefined : await videoId(api, video)
        const answer = await api.recommend({ video: id, text, excludeText, likeTrack, limit, filters })
        if (flags.json) say(JSON.stringify(answer, null, 2))
        else sayRecommendation(answer)
      })
    })

/** A file is uploaded and analysed first. */
async function videoId(api: ApiClient, video: string): Promise<string> {
  if (!existsSync(video)) {
    if (video.includes('/')) throw new InvalidRequestError('not-found', `There is no file ${video}`)
    return video
  }
  const { failed, ids } = await ingest(api, [{ path: video, kind: 'video' }], 'Analysing the video')
  if (failed[0] !== undefined) throw new InvalidRequestError(failed[0].code, failed[0].message)
  return ids[0]!
}

export function sayRecommendation({ results, total, release }: RecommendationView): void {
  const rows = results.map(({ rank, score, track }) => [
    `${rank}.`,
    track.title ?? track.id,
    score.toFixed(3),
    track.tempo ? `${Math.round(track.tempo.bpm)} bpm` : '',
    track.key ? `${track.key.tonic} ${track.key.mode}` : '',
    track.description?.text ?? '',
  ])
  if (rows.length > 0) say(table(rows))
  say(`${total} tracks match the filters; release ${release}`)
}

/**
 * 'field=a,b' any of these; 'field!=a' none of these; 'field=lo..hi' a range, either end open. A field may be repeated:
 * its words add up. Which fields there are, and their words, the gateway knows (gateway/filters.ts).
 */
export function parseFilters(filters: readonly string[]): Record<string, unknown> {
  const parsed: Record<string, unknown> = {}
  for (const filter of filters) {
    const match = /^([A-Za-z]+)(!?=)(.+)$/.exec(filter)
    if (match === null) throw badFilter(filter, 'is not like genre=rock, mood!=sad or bpm=90..120')
    const [, field = '', operator, value = ''] = match
    const words = value.split(',').map((word) => word.trim())
    if (RANGES.has(field)) {
      const range = /^(\d+(?:\.\d+)?)?\.\.(\d+(?:\.\d+)?)?$/.exec(value)
      if (range === null || operator !== '=' || value === '..') throw badFilter(filter, `is not like ${field}=90..120`)
      const [, min, max] = range
      parsed[field] = {
        ...(min === undefined ? {} : { min: Number(min) }),
        ...(max === undefined ? {} : { max: Number(max) }),
      }
    } else if (field === 'explicit') {
      if (operator !== '=' || !['yes', 'no', 'true', 'false'].includes(value)) {
        throw badFilter(filter, 'is not explicit=yes or explicit=no')
      }
      parsed[field] = value === 'yes' || value === 'true'
    } else if (field === 'territory') {
      if (operator !== '=') throw badFilter(filter, 'is not like territory=DE,FR')
      parsed[field] = [...((parsed[field] as string[]) ?? []), ...words]
    } else {
      const earlier = (parsed[field] ?? {}) as Record<string, string[]>
      const side = operator === '=' ? 'anyOf' : 'not'
      parsed[field] = { ...earlier, [side]: [...(earlier[side] ?? []), ...words] }
    }
  }
  return parsed
}

const RANGES = new Set(['bpm', 'durationSeconds'])

function badFilter(filter: string, why: string): InvalidRequestError {
  return new InvalidRequestError('bad-filter', `The filter ${filter} ${why}`)
}

function collect(value: string, earlier: string[] = []): string[] {
  return [...earlier, value]
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1.')
  return value
}
