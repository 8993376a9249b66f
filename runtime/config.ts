/**
 * One typed configuration: defaults ← cuestream.config.json ← CUESTREAM_* environment ← command-line flags.
 * Parsed once, frozen; every bad key is reported at once. docs/configuration.md is generated from it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import { SetupError } from '../ports/errors.ts'

/** "a,b" or a JSON array. */
const list = z.preprocess(
  (value) =>
    typeof value === 'string'
      ? value
          .split(',')
          .map((item) => item.trim())
          .filter(Boolean)
      : value,
  z.array(z.string()),
)
const integer = (min: number, max: number) => z.coerce.number().int().min(min).max(max)

const flag = z.stringbool().or(z.boolean())
const url = (protocols: RegExp, example: string) =>
  z.string().refine((text) => URL.canParse(text) && protocols.test(new URL(text).protocol), `must be like ${example}`)
const redisUrl = url(/^rediss?:$/, 'redis://host:6379')

const shape = {
  dataFolder: z
    .string()
    .min(1)
    .default('data')
    .describe('Folder that keeps everything: topics, index, media, releases.'),
  host: z.string().min(1).default('127.0.0.1').describe('Address that the HTTP gateway listens on.'),
  port: integer(0, 65_535).default(8080).describe('Port of the HTTP gateway; 0 takes a free one.'),
  allowedHosts: list.default([]).describe('Host headers that are answered besides the listening address.'),
  logLevel: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least level that is logged; commands other than `run` begin at warn unless this is set.'),
  logFormat: z
    .enum(['auto', 'json', 'pretty'])
    .default('auto')
    .describe('auto is pretty on a terminal, JSON elsewhere.'),
  profile: z.string().min(1).default('embedded').describe('Encoder profile.'),
  modelsFolder: z.string().optional().describe('Folder of pulled profiles; `<dataFolder>/models` if absent.'),
  seed: integer(0, 2 ** 31 - 1)
    .default(1)
    .describe('Seed of everything random in descriptions.'),
  description: z
    .enum(['prompt2text', 'data2text', 'tags'])
    .default('data2text')
    .describe('How descriptions are written (docs/descriptions.md); prompt2text needs llmUrl and llmModel.'),
  llmUrl: url(/^https?:$/, 'http://host:8000/v1')
    .refine(
      (text) => !URL.canParse(text) || new URL(text).username + new URL(text).password === '',
      'must hold no name or password: use llmApiKeyFile',
    )
    .optional()
    .describe('OpenAI-compatible endpoint that writes descriptions, with its path, such as https://host/v1.'),
  llmModel: z.string().min(1).optional().describe('Model that it is asked for; needed with llmUrl.'),
  llmKind: z
    .enum(['instruct', 'base'])
    .default('instruct')
    .describe('instruct is asked by /chat/completions, base by /completions.'),
  llmApiKey: z.string().min(1).optional().describe('Key of the endpoint; better in a file.'),
  llmApiKeyFile: z.string().optional().describe('File that holds the key.'),
  llmTemperature: z.coerce.number().min(0).max(2).default(0.7).describe('Temperature of the sampling.'),
  llmMaxTokens: integer(8, 1_000).default(120).describe('Tokens of a description at most.'),
  llmConcurrency: integer(1, 190).default(8).describe('Requests under way at most.'),
  llmRequestsPerMinute: integer(1, 1_000_000)
    .optional()
    .describe('Requests begun in any minute at most; no limit if absent.'),
  llmTimeoutMs: integer(100, 300_000).default(30_000).describe('An attempt that takes longer is given up.'),
  llmRetries: integer(0, 10).default(2).describe('Attempts after the first.'),
  llmPromptsPerRequest: integer(1, 64)
    .default(1)
    .describe('Prompts of one request at most, where llmKind is base and the endpoint takes several.'),
  llmBudgetUsd: z.coerce
    .number()
    .min(0)
    .max(1_000_000)
    .optional()
    .describe('US dollars that a period may cost; no cap if absent. Beyond it, data2text writes.'),
  llmBudgetPeriod: z.enum(['day', 'month', 'ever']).default('month').describe('Period of the budget, in UTC.'),
  llmUsdPerMillionInput: z.coerce
    .number()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Price of a million tokens of prompts.'),
  llmUsdPerMillionOutput: z.coerce
    .number()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Price of a million tokens of answers.'),
  llmPairs: integer(1, 50).default(5).describe('Examples in a prompt (k).'),
  llmPairChoice: z
    .enum(['similar', 'random', 'fixed'])
    .default('similar')
    .describe(
      "Which examples: those whose tags are most like the track's; any, under the seed; or the same for all tracks.",
    ),
  llmPoolFile: z
    .string()
    .optional()
    .describe('Examples: JSON, JSONL or CSV (docs/descriptions.md); those of the repository if absent.'),
  llmCompress: flag.default(false).describe('Whether the model joins the sentences of data2text more fluently.'),
  onnxThreads: integer(1, 64).default(2).describe('Threads of one model session.'),
  deadlineMs: integer(50, 60_000).default(2_000).describe('Deadline of a recommendation unless the request says.'),
  maxInFlight: integer(1, 100_000)
    .default(500)
    .describe('Recommendations in flight at most; more are refused with 503.'),
  maxUploadMegabytes: integer(1, 1_000_000).default(2_048).describe('Largest media file, MiB.'),
  maxMediaSeconds: integer(1, 86_400).default(3_600).describe('Longest media, by decoded seconds.'),
  maxMegapixels: integer(1, 1_000).default(50).describe('Largest frame, megapixels.'),
  decoders: integer(1, 256).optional().describe('Media decoded at a time; the number of cores, at least 2, if absent.'),
  mediaHosts: list.default([]).describe('Hosts that media may be fetched from; empty turns fetching off.'),
  allowPrivateHosts: z
    .stringbool()
    .or(z.boolean())
    .default(false)
    .describe('Whether mediaHosts may resolve to private addresses.'),
  ffmpeg: z.string().optional().describe("Path of ffmpeg; the system's, else the bundled one, if absent."),
  ffprobe: z.string().optional().describe('Path of ffprobe; likewise.'),
  exactBelowRows: integer(0, 10_000_000)
    .default(20_000)
    .describe('Embedded indexes with fewer rows are scanned exactly; larger ones use HNSW. On Redis it has no effect.'),
  retryMaxAttempts: integer(1, 100).default(6).describe('Tries of a record before it goes to the dead letters.'),
  retryBaseMs: integer(1, 60_000).default(200).describe('First wait between tries.'),
  retryMaxMs: integer(1, 3_600_000).default(30_000).describe('Longest wait between tries.'),
  kafkaBrokers: list
    .default([])
    .describe('Kafka: host:port of some brokers. Empty: the embedded broker, registry and stores of the data folder.'),
  kafkaTls: flag.default(false).describe('Kafka over TLS; implied by the files below.'),
  kafkaTlsCaFile: z.string().optional().describe('Certificates that Kafka is trusted by; those of Node if absent.'),
  kafkaTlsCertFile: z.string().optional().describe('Own certificate, for Kafka that asks for one.'),
  kafkaTlsKeyFile: z.string().optional().describe('Its key.'),
  kafkaSaslMechanism: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
    .optional()
    .describe('How to log in to Kafka; not at all if absent.'),
  kafkaSaslUsername: z.string().optional().describe('Name to log in to Kafka with.'),
  kafkaSaslPassword: z.string().optional().describe('Its password; better in a file.'),
  kafkaSaslPasswordFile: z.string().optional().describe('File that holds the password.'),
  kafkaReplication: integer(1, 9)
    .optional()
    .describe(
      'Replicas of a new topic; 3 or more: two must acknowledge each record. If absent, the cluster decides both.',
    ),
  kafkaSessionMs: integer(1_000, 300_000)
    .default(10_000)
    .describe('A member of a group that is silent for this long is given up, and others take its partitions.'),
  kafkaPrefix: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{0,64}$/, 'may have letters, digits, . _ and - only, 64 at most')
    .default('')
    .describe('Begins the names of topics and groups, on a cluster that others use too.'),
  schemaRegistryUrl: url(/^https?:$/, 'http://host:8081')
    .optional()
    .describe('Confluent-compatible schema registry; needed with kafkaBrokers.'),
  schemaRegistryUsername: z.string().optional().describe('Name to log in to the registry with.'),
  schemaRegistryPassword: z.string().optional().describe('Its password; better in a file.'),
  schemaRegistryPasswordFile: z.string().optional().describe('File that holds the password.'),
  schemaRegistryTlsCaFile: z
    .string()
    .optional()
    .describe('Certificates that the registry is trusted by; those of Node if absent.'),
  redisUrl: redisUrl.optional().describe('Redis with the Query Engine; needed with kafkaBrokers.'),
  redisIndexUrls: z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value),
      z.array(redisUrl),
    )
    .default([])
    .describe('Redis servers that share the vector index by hash of the id; redisUrl alone if empty.'),
  redisUsername: z.string().optional().describe('Name to log in to Redis with.'),
  redisPassword: z.string().optional().describe('Its password; better in a file.'),
  redisPasswordFile: z.string().optional().describe('File that holds the password.'),
  redisTlsCaFile: z.string().optional().describe('Certificates that rediss:// is trusted by; those of Node if absent.'),
  redisKeyPrefix: z.string().default('cuestream:').describe('Begins every key that is written to Redis.'),
  modelStoreUrl: z
    .string()
    .regex(
      /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\/?$/,
      'must be like s3://bucket or s3://bucket/folder',
    )
    .optional()
    .describe(
      'Bucket of an S3-compatible service that keeps releases, `s3://bucket/folder`; `<dataFolder>/releases` if absent.',
    ),
  modelStoreEndpoint: z
    .string()
    .regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'must be like https://s3.example.com:9000')
    .refine((text) => URL.canParse(text), 'must be like https://s3.example.com:9000')
    .optional()
    .describe("Address of that service; Amazon's of the region if absent."),
  modelStoreRegion: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/, 'must be like eu-central-1')
    .default('us-east-1')
    .describe('Its region; services that have none take any.'),
  modelStorePathStyle: flag
    .default(true)
    .describe('Whether the bucket is asked for as https://host/bucket; else as https://bucket.host.'),
  modelStoreAccessKey: z.string().min(1).optional().describe('Access key; needed with modelStoreUrl.'),
  modelStoreAccessKeyFile: z.string().optional().describe('File that holds the access key.'),
  modelStoreSecretKey: z.string().min(1).optional().describe('Its secret key; better in a file.'),
  modelStoreSecretKeyFile: z.string().optional().describe('File that holds the secret key.'),
  modelStoreTlsCaFile: z
    .string()
    .optional()
    .describe('Certificates that the service is trusted by; those of Node if absent.'),
  replyPartition: integer(0, 1_000)
    .optional()
    .describe(
      'Partition of recommendations.answered.v1 that this gateway reads: its number among the gateways. Any if absent.',
    ),
  stallSeconds: integer(1, 86_400).default(120).describe('Lag without progress for this long raises the watchdog.'),
} satisfies Record<string, z.ZodType>

const schema = z.strictObject(shape)
export type Config = Readonly<z.infer<typeof schema>>

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly flags?: Readonly<Record<string, unknown>>
  /** JSON file; absent means `cuestream.config.json` in the working folder, if there is one. */
  readonly file?: string
}

/** @throws SetupError 'bad-config' that lists every bad key with its source. */
export function loadConfig(sources: ConfigSources): Config {
  const from = new Map<string, string>()
  const merged: Record<string, unknown> = {}
  const take = (values: Readonly<Record<string, unknown>>, source: (key: string) => string) => {
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) continue
      merged[key] = value
      from.set(key, source(key))
    }
  }
  const file = sources.file ?? sources.env.CUESTREAM_CONFIG
  take(readFile(file), () => file ?? DEFAULT_FILE)
  take(fromEnvironment(sources.env), (key) => (key in shape ? environmentName(key) : key))
  take(sources.flags ?? {}, (key) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)

  const parsed = schema.safeParse(merged)
  const missing = missingKeys(merged)
  if (parsed.success && missing.length === 0) return Object.freeze(parsed.data)
  const problems = (parsed.error?.issues ?? []).flatMap((issue) => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => {
        const source = from.get(key)
        return `${source === undefined || source === key ? '' : `${source}: `}${key}: there is no such key`
      })
    const key = String(issue.path[0])
    return [`${from.get(key) ?? key}: ${issue.message}`]
  })
  problems.push(...missing)
  throw new SetupError(
    'bad-config',
    `The configuration has ${problems.length} bad key(s):\n  ${problems.join('\n  ')}\nSee docs/configuration.md.`,
  )
}

/** Keys that others need beside them. */
function missingKeys(given: Readonly<Record<string, unknown>>): string[] {
  const needs = [
    { of: 'kafkaBrokers', keys: ['schemaRegistryUrl'] },
    { of: 'kafkaBrokers', keys: ['redisUrl'] },
    { of: 'schemaRegistryUrl', keys: ['kafkaBrokers'] },
    { of: 'redisUrl', keys: ['kafkaBrokers'] },
    { of: 'redisIndexUrls', keys: ['redisUrl'] },
    { of: 'modelStoreUrl', keys: ['modelStoreAccessKeyFile', 'modelStoreAccessKey'] },
    { of: 'modelStoreUrl', keys: ['modelStoreSecretKeyFile', 'modelStoreSecretKey'] },
    { of: 'modelStoreEndpoint', keys: ['modelStoreUrl'] },
    { of: 'llmUrl', keys: ['llmModel'] },
    { of: 'llmBudgetUsd', keys: ['llmUsdPerMillionInput'] },
    { of: 'llmBudgetUsd', keys: ['llmUsdPerMillionOutput'] },
    { of: 'kafkaSaslMechanism', keys: ['kafkaSaslUsername'] },
    { of: 'kafkaSaslMechanism', keys: ['kafkaSaslPasswordFile', 'kafkaSaslPassword'] },
  ]
  const asksModel = given.description === 'prompt2text' && given.llmUrl === undefined
  const problems = asksModel ? [`${environmentName('llmUrl')}: is needed with description = prompt2text`] : []
  return needs
    .filter(({ of, keys }) => given[of] !== undefined && keys.every((key) => given[key] === undefined))
    .map(({ of, keys }) => `${keys.map(environmentName).join(' or ')}: is needed with ${environmentName(of)}`)
    .concat(problems)
}

const DEFAULT_FILE = 'cuestream.config.json'
/** Read by the loader or the shell, not keys of the schema. */
const RESERVED = new Set(['CUESTREAM_CONFIG', 'CUESTREAM_TEST_SERVICES'])

function readFile(file: string | undefined): Record<string, unknown> {
  const path = file ?? DEFAULT_FILE
  if (!existsSync(path)) {
    if (file === undefined) return {}
    throw new SetupError('bad-config', `The configuration file ${path} does not exist`)
  }
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return parsed as Record<string, unknown>
  } catch (cause) {
    throw new SetupError('bad-config', `The configuration file ${path} is not JSON`, { cause })
  }
  throw new SetupError('bad-config', `The configuration file ${path} does not hold an object`)
}

/** What other tools call these services, so that one environment serves them all. */
const COMMON_NAMES: Readonly<Record<string, string>> = {
  kafkaBrokers: 'KAFKA_BROKERS',
  schemaRegistryUrl: 'SCHEMA_REGISTRY_URL',
  redisUrl: 'REDIS_URL',
}

function environmentName(key: string): string {
  return COMMON_NAMES[key] ?? prefixedName(key)
}

function prefixedName(key: string): string {
  return `CUESTREAM_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

function fromEnvironment(env: ConfigSources['env']): Record<string, string | undefined> {
  const known = new Map(Object.keys(shape).map((key) => [prefixedName(key), key]))
  const values: Record<string, string | undefined> = {}
  for (const [key, name] of Object.entries(COMMON_NAMES)) if (env[name]) values[key] = env[name]
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith('CUESTREAM_') && !RESERVED.has(name)) values[known.get(name) ?? name] = value
  }
  return values
}

/** The table of docs/configuration.md. */
export function configurationTable(): string {
  const rows = Object.entries(shape).map(([key, type]) => {
    const parsed = type.safeParse(undefined)
    const value = parsed.success && parsed.data !== undefined ? `\`${JSON.stringify(parsed.data)}\`` : ''
    return `| \`${key}\` | \`${environmentName(key)}\` | ${value} | ${type.description ?? ''} |`
  })
  return ['| key | environment | default | meaning |', '|---|---|---|---|', ...rows].join('\n')
}
