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
  filter: string[]
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
    .option('--filter <field=value>', 'genre=rock,folk  mood!=sad  bpm=90..120  key=C (repeatable)', collect, [])
    .option('--limit <n>', 'how many', count, 10)
    .option('--json', 'the answer as JSON')
    .action(async (video: string | undefined, flags: Flags) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const filters = parseFilters(flags.filter)
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
  if (!existsSync(video)) return video
  const { id } = await api.submit({ path: video, kind: 'video' })
  const { failed } = await ingest(api, [{ path: video, kind: 'video' }], 'Analysing the video')
  if (failed[0] !== undefined) throw new InvalidRequestError(failed[0].code, failed[0].message)
  return id
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
  say(rows.length > 0 ? table(rows) : 'No track matches.')
  say(`${total} tracks match the filters; release ${release}`)
}

/**
 * 'field=a,b' any of these; 'field!=a' none of these; 'field=lo..hi' a range, either end open.
 * What a field means and which there are, the gateway knows (gateway/filters.ts).
 */
export function parseFilters(filters: readonly string[]): Record<string, unknown> {
  const parsed: Record<string, unknown> = {}
  for (const filter of filters) {
    const match = /^([A-Za-z]+)(!?=)(.+)$/.exec(filter)
    if (match === null) {
      throw new InvalidRequestError(
        'bad-filter',
        `The filter ${filter} is not like genre=rock, mood!=sad or bpm=90..120`,
      )
    }
    const [, field = '', operator, value = ''] = match
    const range = /^(\d+(?:\.\d+)?)?\.\.(\d+(?:\.\d+)?)?$/.exec(value)
    if (range !== null) {
      parsed[field] = {
        ...(range[1] === undefined ? {} : { min: Number(range[1]) }),
        ...(range[2] === undefined ? {} : { max: Number(range[2]) }),
      }
    } else if (field === 'explicit') parsed[field] = value === 'true' || value === 'yes'
    else {
      const words = value.split(',').map((word) => word.trim())
      parsed[field] = { ...(parsed[field] as object), [operator === '=' ? 'anyOf' : 'not']: words }
    }
  }
  return parsed
}

function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value]
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1.')
  return value
}
