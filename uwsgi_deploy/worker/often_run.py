"""Functions that run in every worker, from its fork to the end of a request, as `module:qualified.name`.

`worker.gathering` brings them together in memory. `benchmarks/often_used.py` finds out which they are; one that is not
there, or is missing here, does no harm.
"""

from __future__ import annotations

_PLACES = r"""
logging:_acquireLock logging:_releaseLock contextlib:_GeneratorContextManager.__exit__
uwsgi_deploy.process.signals:blocked signal:pthread_sigmask signal:_int_to_enum enum:EnumType.__call__
enum:Enum.__new__ enum:Enum._missing_ uwsgi_deploy.process.fork:fork_adopted uwsgi_deploy.process.fork:_reap
uwsgi_deploy.worker.template:_spawn uwsgi_deploy.worker.channel:encode uwsgi_deploy.worker.template:_obey_orders
uwsgi_deploy.worker.channel:receive uwsgi_deploy.worker.channel:decode uwsgi_deploy.reports.place:has_pending
uwsgi_deploy.process.fork:flush_stdio contextlib:_GeneratorContextManagerBase.__init__
contextlib:_GeneratorContextManager.__enter__ signal:valid_signals uwsgi_deploy.worker.template:_told_to_end
uwsgi_deploy.worker.undertaker:has_died uwsgi_deploy.worker.undertaker:_is_hung_up uwsgi_deploy.worker.template:_obey
uwsgi_deploy.worker.template:run_template threading:_after_fork threading:RLock threading:_enumerate
_weakrefset:WeakSet.__iter__ _weakrefset:_IterationGuard.__init__ _weakrefset:_IterationGuard.__enter__
_weakrefset:_IterationGuard.__exit__ _weakrefset:WeakSet._commit_removals threading:Thread._reset_internal_locks
threading:Event._at_fork_reinit threading:Condition._at_fork_reinit logging:_after_at_fork_child_reinit_locks
logging:Handler._at_fork_reinit random:Random.seed uwsgi_deploy.process.fork:_fork_and_report
uwsgi_deploy.process.fork:_run uwsgi_deploy.process.signals:restore_defaults signal:signal signal:_enum_to_int
uwsgi_deploy.process.fork:_adopted uwsgi_deploy.worker.template:_live_as_worker
uwsgi_deploy.worker.template:_part_from_siblings uwsgi_deploy.worker.template:_die_with_master
uwsgi_deploy.process.prctl:set_parent_death_signal uwsgi_deploy.process.prctl:_prctl
uwsgi_deploy.process.titles:worker_role uwsgi_deploy.process.titles:set_title uwsgi_deploy.process.titles:title
uwsgi_deploy.process.titles:_name uwsgi_deploy.shared.scoreboard:Scoreboard.occupy
uwsgi_deploy.shared.scoreboard:Scoreboard.seat uwsgi_deploy.shared.scoreboard:Scoreboard.record
uwsgi_deploy.shared.lodging:LodgingScoreboard.record_in uwsgi_deploy.shared.scoreboard:Scoreboard.record_in
uwsgi_deploy.shared.scoreboard:Scoreboard._clear_cores uwsgi_deploy.shared.scoreboard:Scoreboard._core_offset
socket:socket.close socket:socket._real_close uwsgi_deploy.worker.worker:run_worker
uwsgi_deploy.worker.worker:Worker.__init__ uwsgi_deploy.worker.accounting:Accounting.__init__
uwsgi_deploy.shared.scoreboard:Scoreboard.core_records uwsgi_deploy.shared.scoreboard:CoreRecords.__init__
uwsgi_deploy.logs.access:default_format uwsgi_deploy.shared.scoreboard:Scoreboard.column
uwsgi_deploy.worker.guard:Guard.__init__ uwsgi_deploy.worker.deadlines:Deadlines.__init__
uwsgi_deploy.config.routes:routes_of uwsgi_deploy.config.routes:RouteLimits.shortest dataclasses:replace
dataclasses:_is_dataclass_instance uwsgi_deploy.config.settings:Settings.cores
uwsgi_deploy.worker.engines.choice:kind_of uwsgi_deploy.worker.retirement:Retirement.__init__
uwsgi_deploy.worker.retirement:Limits.tick uwsgi_deploy.wsgi.failures:rules_of
uwsgi_deploy.wsgi.failures:Failures.__init__ uwsgi_deploy.net.reactor:Reactor.__init__
uwsgi_deploy.protocol.responses:DateLine.__init__ uwsgi_deploy.net.reactor:Reactor.watch
uwsgi_deploy.net.acceptor:Acceptor.__init__ uwsgi_deploy.net.acceptor:Acceptor._listen
uwsgi_deploy.net.pause:Pause.__init__ uwsgi_deploy.worker.held:HeldResponses.__init__
uwsgi_deploy.worker.worker:Worker.run uwsgi_deploy.worker.worker:Worker._install_signals
uwsgi_deploy.worker.worker:Worker._look uwsgi_deploy.logs.setup:reopen_if_moved
uwsgi_deploy.shared.scoreboard:Scoreboard.paused uwsgi_deploy.net.pause:Pause.end
uwsgi_deploy.worker.worker:Worker._run_hooks uwsgi_deploy.worker.engines.choice:patch_late
uwsgi_deploy.worker.worker:Worker._make_engine uwsgi_deploy.worker.engines.threads:ThreadsEngine.__init__
uwsgi_deploy.worker.engines.lookout:Lookout.__init__ uwsgi_deploy.native:Bell.__init__
uwsgi_deploy.worker.engines.choice:watch_hub uwsgi_deploy.worker.guard:Guard.watch
uwsgi_deploy.worker.watchdog:Watchdog.__init__ uwsgi_deploy.worker.guard:Guard._tell_sentry
uwsgi_deploy.api.deadlines:install uwsgi_deploy.worker.watchdog:Watchdog.start
uwsgi_deploy.worker.worker:Worker._announce uwsgi_deploy.shared.scoreboard:Scoreboard.announce
uwsgi_deploy.worker.engines.threads:ThreadsEngine.run uwsgi_deploy.worker.engines.threads:ThreadsEngine._run_alone
uwsgi_deploy.worker.engines.threads:ThreadsEngine._settle_here
uwsgi_deploy.worker.accounting:Accounting.core_runs_here uwsgi_deploy.shared.scoreboard:CoreRecords.set_thread
uwsgi_deploy.worker.worker:Worker._finished uwsgi_deploy.net.reactor:Reactor.poll
uwsgi_deploy.net.acceptor:Acceptor.has_deadline uwsgi_deploy.net.acceptor:Acceptor.on_event
uwsgi_deploy.net.acceptor:Acceptor._accept uwsgi_deploy.net.acceptor:Acceptor._take
uwsgi_deploy.net.reactor:Reactor.admit uwsgi_deploy.net.connection:Connection.__init__
uwsgi_deploy.net.receiving:Receiving._read_head uwsgi_deploy.net.receiving:Receiving._head
uwsgi_deploy.protocol.http1:Http1Codec.decode uwsgi_deploy.protocol.memo:Memo.__missing__
uwsgi_deploy.protocol.http1:parse_request_line uwsgi_deploy.protocol.http1:Http1Codec._parse_block
uwsgi_deploy.protocol.http1:parse_field uwsgi_deploy.protocol.messages:packed_size
uwsgi_deploy.protocol.http1:body_length uwsgi_deploy.worker.worker:Worker.serve
uwsgi_deploy.wsgi.response:Response.__init__ uwsgi_deploy.worker.accounting:Accounting.begin
uwsgi_deploy.wsgi.lifecycle:handle_request django.core.handlers.wsgi:WSGIHandler.__call__
django.core.handlers.wsgi:get_script_name django.utils.functional:LazyObject.__getattribute__
django.conf:LazySettings.__getattr__ django.conf:UserSettingsHolder.__getattr__
django.core.handlers.wsgi:get_bytes_from_wsgi django.urls.base:set_script_prefix
asgiref.local:_DefaultLocal.__setattr__ asgiref.local:_CVar.__setattr__ asgiref.local:_CVar._storage
asgiref.local:_Storage.__init__ django.dispatch.dispatcher:Signal.send
django.dispatch.dispatcher:Signal._live_receivers django.dispatch.dispatcher:Signal._clear_dead_receivers
django.dispatch.dispatcher:_make_id django.db:reset_queries django.utils.connection:BaseConnectionHandler.all
django.utils.connection:BaseConnectionHandler.__iter__ asgiref.local:_ThreadCriticalLocal.__getattr__
asgiref.local:_ThreadCriticalLocal._get_storage django.db:close_old_connections
django.core.handlers.wsgi:WSGIRequest.__init__ django.core.handlers.wsgi:get_path_info
django.utils.encoding:repercent_broken_unicode django.http.request:HttpRequest._set_content_type_params
django.utils.http:parse_header_parameters django.core.handlers.wsgi:LimitedStream.__init__
django.core.handlers.base:BaseHandler.get_response django.urls.base:set_urlconf
django.utils.deprecation:MiddlewareMixin.__call__ django.middleware.security:SecurityMiddleware.process_request
django.middleware.common:CommonMiddleware.process_request django.http.request:HttpRequest.get_host
django.http.request:HttpRequest._get_raw_host django.http.request:split_domain_port
django.utils.functional:SimpleLazyObject._setup re:compile re:_compile re._compiler:isstring enum:Flag.__and__
re._compiler:compile re._parser:parse re._parser:Tokenizer.__init__ re._parser:Tokenizer.__next
re._parser:State.__init__ re._parser:_parse_sub re._parser:Tokenizer.tell re._parser:_parse
re._parser:SubPattern.__init__ re._parser:Tokenizer.get re._parser:SubPattern.append re._parser:Tokenizer.match
re._parser:State.opengroup re._parser:State.groups re._parser:_uniq re._parser:SubPattern.__len__
re._parser:SubPattern.__getitem__ re._parser:SubPattern.__setitem__ re._parser:_escape re._parser:State.closegroup
re._parser:SubPattern.getwidth re._parser:fix_flags re._compiler:_code re._compiler:_compile_info
re._compiler:_get_literal_prefix re._compiler:_get_iscased re._compiler:_get_charset_prefix re._compiler:_compile
re._compiler:_combine_flags re._compiler:_simple re._compiler:_optimize_charset re._compiler:_mk_bitmap
re._compiler:_compile_charset django.utils.functional:LazyObject.__setattr__ django.http.request:validate_host
django.utils.http:is_same_domain django.core.handlers.base:BaseHandler._get_response
django.core.handlers.base:BaseHandler.resolve_request django.urls.resolvers:get_resolver
django.urls.resolvers:URLResolver.resolve django.urls.resolvers:RegexPattern.match
django.urls.resolvers:LocaleRegexDescriptor.__get__ django.urls.resolvers:LocaleRegexDescriptor._compile
django.urls.resolvers:URLPattern.resolve django.urls.resolvers:RoutePattern.match
django.urls.resolvers:LocaleRegexRouteDescriptor.__get__ django.urls.resolvers:RoutePattern.__str__
django.urls.resolvers:ResolverMatch.__init__ django.urls.resolvers:URLResolver._extend_tried
django.urls.resolvers:URLResolver._join_route django.urls.resolvers:ResolverMatch.__getitem__
django.core.handlers.base:BaseHandler.make_view_atomic asyncio.coroutines:iscoroutinefunction
inspect:iscoroutinefunction inspect:_has_code_flag inspect:ismethod functools:_unwrap_partial inspect:isfunction
django.http.response:HttpResponse.__init__ django.http.response:HttpResponseBase.__init__
django.http.response:ResponseHeaders.__init__ collections.abc:Mapping.__contains__
django.utils.datastructures:CaseInsensitiveMapping.__getitem__ django.http.response:HttpResponseBase.charset
collections.abc:Mapping.get django.http.response:ResponseHeaders.__setitem__
django.http.response:ResponseHeaders._convert_to_charset http.cookies:BaseCookie.__init__
django.http.response:HttpResponse.content django.http.response:HttpResponseBase.make_bytes enum:property.__get__
enum:Enum.value re._parser:Tokenizer.getuntil re._parser:Tokenizer.checkgroupname re._parser:_class_escape
re._compiler:_generate_overlap_table django.core.handlers.base:BaseHandler.check_response
asyncio.coroutines:iscoroutine abc:ABCMeta.__instancecheck__ abc:ABCMeta.__subclasscheck__
collections.abc:Coroutine.__subclasshook__ collections.abc:_check_methods
django.middleware.common:CommonMiddleware.process_response django.http.response:HttpResponseBase.has_header
django.middleware.security:SecurityMiddleware.process_response django.http.response:ResponseHeaders.setdefault
django.http.response:HttpResponseBase.setdefault django.http.response:HttpResponseBase.reason_phrase
django.http.response:HttpResponseBase.items collections.abc:Mapping.items collections.abc:MappingView.__init__
collections.abc:MappingView.__len__ django.utils.datastructures:CaseInsensitiveMapping.__len__
collections.abc:ItemsView.__iter__ django.utils.datastructures:CaseInsensitiveMapping.__iter__
uwsgi_deploy.wsgi.response:Response.start_response uwsgi_deploy.protocol.responses:_Remembered.__missing__
uwsgi_deploy.protocol.responses:encode_field uwsgi_deploy.wsgi.response:Response._special
uwsgi_deploy.protocol.responses:DateLine.at uwsgi_deploy.wsgi.response:Response.send
uwsgi_deploy.wsgi.response:Response._send_stream django.http.response:HttpResponse.__iter__
uwsgi_deploy.wsgi.response:Response._first_block uwsgi_deploy.wsgi.response:_check_block
uwsgi_deploy.wsgi.response:Response._send_whole uwsgi_deploy.wsgi.response:Response._start
uwsgi_deploy.wsgi.response:Response._take_head uwsgi_deploy.net.connection:Connection.send
uwsgi_deploy.wsgi.lifecycle:_close django.http.response:HttpResponseBase.close django.http.request:HttpRequest.close
django.core.cache:close_caches django.utils.connection:BaseConnectionHandler.close_all
django.utils.functional:cached_property.__get__ django.utils.connection:BaseConnectionHandler.settings
django.utils.connection:BaseConnectionHandler.configure_settings asgiref.local:_DefaultLocal.__getattr__
asgiref.local:_CVar.__getattr__ django.core.handlers.base:reset_urlconf asgiref.local:_DefaultLocal.__delattr__
asgiref.local:_CVar.__delattr__ uwsgi_deploy.worker.accounting:Accounting.count
uwsgi_deploy.worker.accounting:Accounting.log uwsgi_deploy.logs.record:packet_size uwsgi_deploy.logs.access:escape
uwsgi_deploy.logs.access:_ctime uwsgi_deploy.logs.setup:log uwsgi_deploy.worker.accounting:Accounting.end
uwsgi_deploy.net.reactor:Reactor.release uwsgi_deploy.net.reactor:Reactor._after_response
uwsgi_deploy.net.reactor:Reactor._await_next uwsgi_deploy.net.reactor:Reactor._register
uwsgi_deploy.protocol.http1:_keep_alive uwsgi_deploy.net.reactor:Reactor._end uwsgi_deploy.net.reactor:Reactor._close
uwsgi_deploy.worker.worker:Worker._noted_end uwsgi_deploy.worker.worker:Worker._end_with_master
uwsgi_deploy.worker.worker:Worker._end_conversations uwsgi_deploy.worker.worker:Worker._on_signals
uwsgi_deploy.worker.worker:Worker._stop uwsgi_deploy.net.reactor:Reactor.drain uwsgi_deploy.net.reactor:Reactor.wake
uwsgi_deploy.net.reactor:Reactor.is_over uwsgi_deploy.worker.guard:Guard.has_only_given_up
uwsgi_deploy.net.reactor:Reactor._start_draining uwsgi_deploy.net.pause:Pause.give_up
uwsgi_deploy.net.acceptor:Acceptor.leave uwsgi_deploy.net.acceptor:Acceptor._siblings_leave
uwsgi_deploy.net.acceptor:Acceptor._accept_all uwsgi_deploy.net.acceptor:Acceptor.paused
uwsgi_deploy.net.reactor:Reactor._sweep uwsgi_deploy.net.acceptor:Acceptor.resume
uwsgi_deploy.net.acceptor:Acceptor.close_if_due uwsgi_deploy.net.acceptor:Acceptor._close
uwsgi_deploy.net.reactor:Reactor.close uwsgi_deploy.worker.guard:Guard.end uwsgi_deploy.worker.watchdog:Watchdog.owes
uwsgi_deploy.process.finish:finish_interpreter uwsgi_deploy.process.finish:_join_threads threading:_shutdown
concurrent.futures.thread:_python_exit weakref:WeakKeyDictionary.items weakref:WeakKeyDictionary._commit_removals
threading:Thread.ident threading:Thread._stop threading:Thread.daemon threading:_maintain_shutdown_locks
weakref:finalize._exitfunc weakref:finalize._select_for_exit weakref:finalize.__call__
django.dispatch.dispatcher:Signal._remove_receiver logging:shutdown logging:Handler.acquire logging:Handler.flush
logging:Handler.close weakref:WeakValueDictionary.__contains__ weakref:WeakValueDictionary.__delitem__
logging:Handler.release logging:StreamHandler.flush django.utils.connection:BaseConnectionHandler.__getitem__
django.db.backends.base.base:BaseDatabaseWrapper.close_if_unusable_or_obsolete
django.contrib.sessions.middleware:SessionMiddleware.process_request django.core.handlers.wsgi:WSGIRequest.COOKIES
django.core.handlers.wsgi:get_str_from_wsgi django.http.cookie:parse_cookie
django.contrib.sessions.backends.db:SessionStore.__init__ django.contrib.sessions.backends.base:SessionBase.__init__
django.contrib.sessions.backends.base:SessionBase._set_session_key
django.contrib.sessions.backends.base:SessionBase._validate_session_key django.utils.module_loading:import_string
django.utils.module_loading:cached_import importlib:import_module importlib._bootstrap:_gcd_import
importlib._bootstrap:_sanity_check importlib._bootstrap:_find_and_load
importlib._bootstrap:_ModuleLockManager.__init__ importlib._bootstrap:_ModuleLockManager.__enter__
importlib._bootstrap:_get_module_lock importlib._bootstrap:_ModuleLock.__init__
importlib._bootstrap:_ModuleLock.acquire importlib._bootstrap:_find_and_load_unlocked importlib._bootstrap:_find_spec
importlib._bootstrap:_ImportLockContext.__enter__ _distutils_hack:DistutilsMetaFinder.find_spec
importlib._bootstrap:_ImportLockContext.__exit__ importlib._bootstrap:BuiltinImporter.find_spec
importlib._bootstrap:FrozenImporter.find_spec importlib._bootstrap:_call_with_frames_removed
importlib._bootstrap_external:PathFinder.find_spec importlib._bootstrap_external:PathFinder._get_spec
importlib._bootstrap_external:PathFinder._path_importer_cache importlib._bootstrap_external:FileFinder.find_spec
importlib._bootstrap_external:_path_stat importlib._bootstrap_external:_path_join
importlib._bootstrap:_verbose_message importlib._bootstrap_external:_path_isfile
importlib._bootstrap_external:_path_is_mode_type importlib._bootstrap_external:FileFinder._get_spec
importlib._bootstrap_external:FileLoader.__init__ importlib._bootstrap_external:spec_from_file_location
importlib._bootstrap_external:_path_isabs importlib._bootstrap:ModuleSpec.__init__ importlib._bootstrap:_load_unlocked
importlib._bootstrap:module_from_spec importlib._bootstrap_external:_LoaderBasics.create_module
importlib._bootstrap:_new_module importlib._bootstrap:_init_module_attrs importlib._bootstrap:ModuleSpec.parent
importlib._bootstrap:ModuleSpec.has_location importlib._bootstrap:ModuleSpec.cached
importlib._bootstrap_external:_get_cached importlib._bootstrap_external:cache_from_source
importlib._bootstrap_external:_path_split importlib._bootstrap_external:_LoaderBasics.exec_module
importlib._bootstrap_external:SourceLoader.get_code importlib._bootstrap_external:FileLoader.get_filename
importlib._bootstrap_external:SourceFileLoader.path_stats importlib._bootstrap_external:FileLoader.get_data
importlib._bootstrap_external:_classify_pyc importlib._bootstrap_external:_unpack_uint32
importlib._bootstrap_external:_validate_timestamp_pyc importlib._bootstrap_external:_compile_bytecode
importlib._bootstrap:_ModuleLockManager.__exit__ importlib._bootstrap:_ModuleLock.release
django.middleware.csrf:CsrfViewMiddleware.process_request django.middleware.csrf:CsrfViewMiddleware._get_secret
django.contrib.auth.middleware:AuthenticationMiddleware.process_request
django.utils.functional:SimpleLazyObject.__init__ django.utils.functional:LazyObject.__init__
django.contrib.messages.middleware:MessageMiddleware.process_request django.contrib.messages.storage:default_storage
importlib._bootstrap:_handle_fromlist django.contrib.messages.storage.cookie:MessageEncoder
django.contrib.messages.storage.cookie:MessageDecoder django.contrib.messages.storage.cookie:MessagePartSerializer
django.contrib.messages.storage.cookie:MessagePartGatherSerializer
django.contrib.messages.storage.cookie:MessageSerializer django.contrib.messages.storage.cookie:CookieStorage
json:dumps json.encoder:JSONEncoder.encode django.contrib.messages.storage.session:SessionStorage
django.contrib.messages.storage.fallback:FallbackStorage
django.contrib.messages.storage.fallback:FallbackStorage.__init__
django.contrib.messages.storage.base:BaseStorage.__init__
django.contrib.messages.storage.cookie:CookieStorage.__init__ django.core.signing:get_cookie_signer
django.core.signing:_cookie_signer_key django.utils.encoding:force_bytes django.core.signing:Signer.__init__
django.contrib.messages.storage.session:SessionStorage.__init__ django.middleware.csrf:CsrfViewMiddleware.process_view
django.middleware.csrf:CsrfViewMiddleware._accept
django.contrib.messages.middleware:MessageMiddleware.process_response
django.contrib.messages.storage.base:BaseStorage.update
django.contrib.messages.storage.base:BaseStorage._prepare_messages
django.middleware.csrf:CsrfViewMiddleware.process_response
django.contrib.sessions.middleware:SessionMiddleware.process_response
django.contrib.sessions.backends.base:SessionBase.is_empty
django.contrib.sessions.backends.base:SessionBase._get_session_key flask.app:Flask.__call__ flask.app:Flask.wsgi_app
flask.app:Flask.request_context flask.ctx:RequestContext.__init__ werkzeug.wrappers.request:Request.__init__
werkzeug.wsgi:_get_server werkzeug._internal:_wsgi_decoding_dance
werkzeug.datastructures.headers:EnvironHeaders.__init__ werkzeug.datastructures.headers:Headers.__init__
werkzeug.sansio.request:Request.__init__ flask.app:Flask.create_url_adapter werkzeug.wsgi:get_host
werkzeug.sansio.utils:get_host werkzeug.sansio.utils:host_is_trusted werkzeug.utils:cached_property.__set__
werkzeug.routing.map:Map.bind_to_environ werkzeug._internal:_get_environ werkzeug.routing.map:Map.bind
encodings:search_function encodings:normalize_encoding re._compiler:_bytes_to_codes encodings.idna:Codec
encodings.idna:IncrementalEncoder encodings.idna:IncrementalDecoder encodings.idna:StreamWriter
encodings.idna:StreamReader encodings.idna:getregentry codecs:CodecInfo.__new__ encodings.idna:Codec.encode
werkzeug.routing.map:MapAdapter.__init__ flask.ctx:RequestContext.push flask.app:Flask.app_context
flask.ctx:AppContext.__init__ flask.ctx:AppContext.push blinker.base:Signal.send blinker.base:Signal.receivers_for
flask.sessions:SecureCookieSessionInterface.open_session
flask.sessions:SecureCookieSessionInterface.get_signing_serializer flask.config:ConfigAttribute.__get__
flask.sessions:SessionInterface.make_null_session flask.sessions:SecureCookieSession.__init__
werkzeug.datastructures.structures:CallbackDict.__init__ flask.ctx:RequestContext.match_request
werkzeug.routing.map:MapAdapter.match werkzeug.routing.map:Map.update
werkzeug.routing.matcher:StateMachineMatcher.update werkzeug.routing.rules:Rule.build_compare_key
werkzeug.routing.matcher:StateMachineMatcher.match werkzeug.routing.map:MapAdapter.get_default_redirect
flask.app:Flask.full_dispatch_request flask.app:Flask.preprocess_request werkzeug.local:_ProxyLookup.__get__
flask.wrappers:Request.blueprints flask.wrappers:Request.blueprint flask.wrappers:Request.endpoint
flask.app:Flask.dispatch_request werkzeug.local:_identity flask.app:Flask.ensure_sync flask.app:Flask.finalize_request
flask.app:Flask.make_response werkzeug.wrappers.response:Response.__init__ werkzeug.sansio.response:Response.__init__
werkzeug.datastructures.headers:Headers.__contains__ werkzeug.datastructures.headers:Headers._get_key
werkzeug.exceptions:BadRequestKeyError.__init__ werkzeug.exceptions:HTTPException.__init__
werkzeug.utils:get_content_type werkzeug.datastructures.headers:Headers.__setitem__
werkzeug.datastructures.headers:Headers.set werkzeug.datastructures.headers:_str_header_value
werkzeug.sansio.response:Response.status werkzeug.sansio.response:Response._clean_status
werkzeug.wrappers.response:Response.set_data typing:cast flask.app:Flask.process_response
flask.sessions:SessionInterface.is_null_session werkzeug.wrappers.response:Response.__call__
werkzeug.wrappers.response:Response.get_wsgi_response werkzeug.wrappers.response:Response.get_wsgi_headers
werkzeug.datastructures.headers:Headers.extend werkzeug.datastructures.structures:iter_multi_items
collections.abc:Collection.__subclasshook__ werkzeug.datastructures.headers:Headers.__iter__
werkzeug.datastructures.headers:Headers.add werkzeug.sansio.response:Response.status_code
werkzeug.wrappers.response:Response.is_sequence werkzeug.wrappers.response:Response.get_app_iter
werkzeug.wrappers.response:Response.iter_encoded werkzeug.wsgi:ClosingIterator.__init__
typing:_CallableType.__getitem__ typing:_CallableType.__getitem_inner__ typing:_type_check typing:_type_convert
typing:_CallableType.copy_with typing:_GenericAlias.__init__ typing:_BaseGenericAlias.__init__
typing:_BaseGenericAlias.__setattr__ typing:_is_dunder typing:_collect_parameters
werkzeug.datastructures.headers:Headers.to_wsgi_list werkzeug.datastructures.headers:Headers.__len__
flask.ctx:RequestContext.pop flask.app:Flask.do_teardown_request werkzeug.wrappers.request:Request.close
flask.ctx:AppContext.pop flask.app:Flask.do_teardown_appcontext werkzeug.wsgi:ClosingIterator.__iter__
werkzeug.wsgi:ClosingIterator.__next__ werkzeug.wrappers.response:_iter_encoded werkzeug.wsgi:ClosingIterator.close
werkzeug.wrappers.response:Response.close flask.logging:wsgi_errors_stream logging:_StderrHandler.stream
uwsgi_deploy.worker.watchdog:Watchdog._run uwsgi_deploy.worker.watchdog:Watchdog.look
uwsgi_deploy.worker.watchdog:Watchdog._run_errand uwsgi_deploy.worker.engines.lookout:Lookout._run
uwsgi_deploy.native:Bell.wait uwsgi_deploy.native:Bell.silence
"""


def places() -> list[str]:
    """All of them."""
    return _PLACES.split()
