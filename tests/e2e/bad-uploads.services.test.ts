import { onServices } from '../support/on-services.ts'
import { badUploads } from './bad-uploads.ts'

badUploads('Kafka, the registry and Redis', onServices)
