import { onServices } from '../support/on-services.ts'
import { page } from './page.ts'

page('Kafka, the registry and Redis', onServices)
