/** How descriptions are written, from the configuration: the model's endpoint with its budget and kept texts, and metrics. */
import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { GenerationStore, GeneratorError, TextGenerator } from '../ports/text-generator.ts'
import { createDescriber, type Describer, type DescriberSettings } from '../processors/describe-music/describer.ts'
import { defaultPool, type FewShotPool, readPool } from '../processors/describe-music/few-shot.ts'
import type { Config } from '../runtime/config.ts'
import { secret, TEXTS_KEPT_MS } from './backends.ts'

export interface Describing {
  readonly describer: Describer
  readonly pool: FewShotPool
  observe(described: { method: string; fallback: string; redone: boolean }): void
  close(): Promise<void>
}

export interface DescribingParts {
  readonly texts: GenerationStore
  readonly registry: Registry
  readonly logger: Logger
  readonly now: () => number
}

const EXPIRE_EVERY_MS = 6 * 3_600_000

/**
 * @param settings in place of the configuration's.
 * @throws SetupError 'bad-few-shot-pool' | 'bad-config'
 */
export async function openDescribing(
  config: Config,
  parts: DescribingParts,
  settings: Partial<DescriberSettings> = {},
): Promise<Describing> {
  const pool = config.llmPoolFile === undefined ? defaultPool() : await readPool(config.llmPoolFile, config.llmPairs)
  const metrics = createDescribingMetrics(parts.registry)
  const method = settings.method ?? config.description
  const wantsModel = method === 'prompt2text' || config.llmCompress
  const generator = wantsModel ? await openGenerator(config, parts, metrics) : undefined
  const describer = createDescriber({
    method,
    seed: config.seed,
    generator,
    pool,
    pairs: config.llmPairs,
    pairChoice: config.llmPairChoice,
    compress: config.llmCompress,
    ...settings,
  })
  return {
    describer,
    pool,
    observe: ({ method: by, fallback, redone }) =>
      metrics.descriptions.inc({ method: by, fallback, redone: String(redone) }),
    close: async () => generator?.close(),
  }
}

/** The library behind it is loaded only where a model is asked for. */
async function openGenerator(
  config: Config,
  { texts: store, now, logger }: DescribingParts,
  metrics: DescribingMetrics,
): Promise<TextGenerator | undefined> {
  if (config.llmUrl === undefined || config.llmModel === undefined) return undefined
  const { openBudget } = await import('../adapters/llm/budget.ts')
  const { cachedGenerator } = await import('../adapters/llm/cached.ts')
  const { openEndpoint } = await import('../adapters/llm/endpoint.ts')
  const expire = () => store.expire(now() - TEXTS_KEPT_MS)
  await expire()
  const expiring = setInterval(
    () => expire().catch((err: unknown) => logger.warn({ err }, 'Old texts of the model stay')),
    EXPIRE_EVERY_MS,
  )
  let wasDown = false
  const budget = openBudget({
    store,
    capUsd: config.llmBudgetUsd,
    period: config.llmBudgetPeriod,
    usdPerMillionInput: config.llmUsdPerMillionInput,
    usdPerMillionOutput: config.llmUsdPerMillionOutput,
    now,
  })
  const generator = openEndpoint({
    url: config.llmUrl,
    model: config.llmModel,
    kind: config.llmKind,
    apiKey: await secret(config, 'llmApiKey'),
    temperature: config.llmTemperature,
    maxTokens: config.llmMaxTokens,
    concurrency: config.llmConcurrency,
    requestsPerMinute: config.llmRequestsPerMinute,
    timeoutMs: config.llmTimeoutMs,
    retries: config.llmRetries,
    promptsPerRequest: config.llmPromptsPerRequest,
    budget,
    observe: {
      request: (outcome, seconds) => metrics.requestSeconds.observe({ outcome }, seconds),
      usage: ({ inputTokens, outputTokens, usd }) => {
        metrics.tokens.inc({ direction: 'input' }, inputTokens)
        metrics.tokens.inc({ direction: 'output' }, outputTokens)
        metrics.spent.inc(usd)
      },
      open(isOpen, cause) {
        metrics.up.set(isOpen ? 1 : 0)
        const { code, message: reason } = (cause ?? {}) as GeneratorError
        if (!isOpen) logger.warn({ code, reason }, 'The language model fails: rules describe until it answers again')
        else if (wasDown) logger.info('The language model answers again')
        wasDown = !isOpen
      },
    },
  })
  const observe = { cache: (hit: boolean) => metrics.kept.inc({ hit: String(hit) }) }
  const cached = cachedGenerator({ generator, store, maxTokens: config.llmMaxTokens, now, observe })
  return {
    ...cached,
    async close() {
      clearInterval(expiring)
      await cached.close()
    },
  }
}

type DescribingMetrics = ReturnType<typeof createDescribingMetrics>

function createDescribingMetrics(registry: Registry) {
  const registers = [registry]
  return {
    descriptions: new Counter({
      name: 'cuestream_descriptions_total',
      help: 'Descriptions written, by the method that wrote them and why it was not the one asked for.',
      labelNames: ['method', 'fallback', 'redone'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'cuestream_llm_request_seconds',
      help: 'Requests to the language model, by outcome.',
      labelNames: ['outcome'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    tokens: new Counter({
      name: 'cuestream_llm_tokens_total',
      help: 'Tokens of prompts and of answers.',
      labelNames: ['direction'],
      registers,
    }),
    spent: new Counter({
      name: 'cuestream_llm_spent_dollars_total',
      help: 'US dollars spent on the language model.',
      registers,
    }),
    kept: new Counter({
      name: 'cuestream_llm_kept_texts_total',
      help: 'Texts that were looked up among those kept, by whether they were there.',
      labelNames: ['hit'],
      registers,
    }),
    up: new Gauge({
      name: 'cuestream_llm_up',
      help: '1 while requests are let through to the language model, 0 after failures in a row.',
      registers,
    }),
  }
}
