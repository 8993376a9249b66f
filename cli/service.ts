/**
 * The service that a command talks to: the process that owns the data folder, or one started here for the command.
 */
import type { Logger } from 'pino'
import { buildGateway } from '../gateway/gateway.ts'
import { SetupError } from '../ports/errors.ts'
import { vocabularySha256 } from '../processors/analyse-music/vocabulary.ts'
import type { Config } from '../runtime/config.ts'
import { recommendationsAnswered } from '../topics/topics.ts'
import { type ApiClient, connectApi } from './api-client.ts'
import { isShared } from './backends.ts'
import { dataFolderOwner } from './data-folder.ts'
import { openProduct, type Product, type ProductOptions } from './open-product.ts'
import { dataPaths } from './paths.ts'

export interface Service {
  readonly product: Product
  readonly url: string
  close(): Promise<void>
}

export async function startService(config: Config, options: ProductOptions): Promise<Service> {
  const product = await openProduct(config, options)
  try {
    const gateway = await buildGateway({
      ...product,
      config: {
        bindHost: config.host,
        allowedHosts: config.allowedHosts,
        deadlineMs: config.deadlineMs,
        maxInFlight: config.maxInFlight,
        replyPartition: config.replyPartition ?? Math.floor(Math.random() * recommendationsAnswered.partitions),
        maxUploadBytes: config.maxUploadMegabytes * 1024 * 1024,
        taxonomy: vocabularySha256.slice(0, 12),
      },
      readiness: product.health.ready,
      stages: product.health.stages,
    })
    const url = await listen(gateway, config)
    await product.announce(url)
    return {
      product,
      url,
      async close() {
        await gateway.close()
        await product.close()
      },
    }
  } catch (error) {
    await product.close()
    throw error
  }
}

async function listen(
  gateway: { listen(options: { host: string; port: number }): Promise<string> },
  { host, port }: Config,
): Promise<string> {
  try {
    return await gateway.listen({ host, port })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE') {
      const message = `Port ${port} on ${host} is taken. Stop what listens there, or choose another: --port 8081`
      throw new SetupError('port-in-use', message, { cause })
    }
    const message = `Cannot listen on port ${port} of ${host}: ${(cause as Error).message}. Choose others with --host and --port`
    throw new SetupError('cannot-listen', message, { cause })
  }
}

/**
 * Runs `work` against the owner of the data folder, or against a service of its own that ends with it: a gateway only
 * where the stages run elsewhere.
 */
export async function withService<T>(config: Config, logger: Logger, work: (api: ApiClient) => Promise<T>): Promise<T> {
  const owner = await dataFolderOwner(dataPaths(config.dataFolder).owner)
  if (owner?.url !== undefined) return work(connectApi(owner.url))
  const stages = isShared(config) ? [] : ('all' as const)
  const service = await startService({ ...config, port: 0 }, { logger, stages })
  try {
    return await work(connectApi(service.url))
  } finally {
    await service.close()
  }
}
